/**
 * The frame of an export file: two lines before the SQL and two behind it, all of them comments. The last one is the
 * SHA-256 of every byte before it. A `.gz` file ends in an empty gzip member besides, whose comment is the SHA-256 of
 * every compressed byte before it: the compressed form has bits that its own check does not cover.
 */
import { createHash, type Hash } from 'node:crypto';
import type { TableName } from '../core/ident.js';
import type { Side } from '../reconcile/row-hash.js';
import type { Dialect } from '../schema/capabilities.js';
import { BadExportFile } from './transfer-errors.js';

const FIRST_LINE = '-- db-redundancy export, format 1\n';
const SUM_PREFIX = '-- sha256 ';
export const SUM_LINE_BYTES = SUM_PREFIX.length + 64 + 1;
const ROWS_PREFIX = '-- rows ';

export interface ExportHeader {
  /** Of the program that wrote it. */
  readonly version: string;
  readonly source: Side;
  readonly dialect: Dialect;
  readonly server: string;
  /** ISO 8601. */
  readonly at: string;
  readonly position: string;
  readonly tables: readonly (TableName & { readonly columns: readonly string[] })[];
}

export interface TableCount extends TableName {
  readonly rows: number;
}

export interface ExportTrailer {
  readonly counts: readonly TableCount[];
  /** Values that CockroachDB would store as something else, or not at all. */
  readonly notForCockroach: readonly (TableName & {
    readonly column: string;
    readonly values: number;
    readonly reason: string;
  })[];
}

export function headerLines(header: ExportHeader): string {
  return `${FIRST_LINE}-- ${JSON.stringify(header)}\n`;
}

export function rowsLine(trailer: ExportTrailer): string {
  return `${ROWS_PREFIX}${JSON.stringify(trailer)}\n`;
}

export function sumLine(hash: Hash): string {
  return `${SUM_PREFIX}${hash.digest('hex')}\n`;
}

export function newSum(): Hash {
  return createHash('sha256');
}

/** @param text the file's beginning, at least its first two lines */
export function parseHeader(text: string): ExportHeader {
  if (!text.startsWith(FIRST_LINE)) throw new BadExportFile('it does not begin as an export of db-redundancy does');
  const line = text.slice(FIRST_LINE.length, text.indexOf('\n', FIRST_LINE.length));
  return parseComment<ExportHeader>(line, '-- ');
}

/** @param text what stands before the last line, as far back as its own line begins at least */
export function parseTrailer(text: string): ExportTrailer {
  const start = text.lastIndexOf('\n', text.length - 2) + 1;
  return parseComment<ExportTrailer>(text.slice(start, -1), ROWS_PREFIX);
}

function parseComment<T>(line: string, prefix: string): T {
  if (!line.startsWith(prefix)) throw new BadExportFile('its first or last lines are not those of an export');
  try {
    return JSON.parse(line.slice(prefix.length)) as T;
  } catch (cause) {
    throw new BadExportFile('its first or last lines cannot be read', cause);
  }
}

/** FLG = FCOMMENT, no time, no system; then the comment, and an empty deflate stream with its check and length. */
const SEAL_HEAD = Buffer.from([0x1f, 0x8b, 8, 16, 0, 0, 0, 0, 0, 255]);
const SEAL_TAIL = Buffer.from([0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
export const SEAL_BYTES = SEAL_HEAD.length + 'sha256 '.length + 64 + SEAL_TAIL.length;

export function gzipSeal(hash: Hash): Buffer {
  return Buffer.concat([SEAL_HEAD, Buffer.from(`sha256 ${hash.digest('hex')}`, 'latin1'), SEAL_TAIL]);
}
