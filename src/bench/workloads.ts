/** All workloads, in the order in which they run: memory is judged at the end, over all of them. */
import { bulk } from './bulk.js';
import type { Workload } from './context.js';
import { decode } from './decode.js';
import { distance } from './distance.js';
import { idle } from './idle.js';
import { initialLoad } from './initial-load.js';
import { fullSpeed, steady } from './live.js';
import { scale } from './scale.js';
import { smallTransactions } from './small-transactions.js';
import { toCockroach } from './to-cockroach.js';

export const WORKLOADS: readonly Workload[] = [
  decode,
  bulk,
  smallTransactions,
  fullSpeed,
  steady,
  distance,
  toCockroach,
  initialLoad,
  scale,
  idle,
];
