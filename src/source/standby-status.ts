/** The standby status update ('r') that confirms positions to a walsender (PostgreSQL manual, "Streaming Replication Protocol"). */
import type { Lsn } from '../core/lsn.js';

const POSTGRES_EPOCH_MICROSECONDS = 946_684_800_000_000n;

/**
 * @param received last WAL position read from the socket
 * @param durable position up to which everything is committed on the secondary; the slot may forget what lies before it
 */
export function standbyStatus(received: Lsn, durable: Lsn, nowMs: number, replyRequested = false): Buffer {
  const packet = Buffer.allocUnsafe(34);
  packet[0] = 0x72;
  packet.writeBigUInt64BE(received > durable ? received : durable, 1);
  packet.writeBigUInt64BE(durable, 9);
  packet.writeBigUInt64BE(durable, 17);
  packet.writeBigInt64BE(BigInt(Math.trunc(nowMs)) * 1000n - POSTGRES_EPOCH_MICROSECONDS, 25);
  packet[33] = replyRequested ? 1 : 0;
  return packet;
}

/**
 * Status interval: a third of wal_sender_timeout at most, so that two may be lost; 10 s where the timeout is off or longer.
 * @param walSenderTimeoutMs 0 means no timeout
 */
export function statusIntervalMs(walSenderTimeoutMs: number): number {
  return walSenderTimeoutMs <= 0 ? 10_000 : Math.max(100, Math.min(10_000, Math.floor(walSenderTimeoutMs / 3)));
}
