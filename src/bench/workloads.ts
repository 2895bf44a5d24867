/** All workloads, in the order in which they run. */
import { bulk } from './bulk.js';
import type { Workload } from './context.js';
import { decode } from './decode.js';

export const WORKLOADS: readonly Workload[] = [decode, bulk];
