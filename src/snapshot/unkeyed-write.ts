/** Plain inserts of row images, for tables without a key. */
import type { Dialect } from '../apply/dialect.js';
import { insertSql } from '../apply/statements.js';
import type { SqlStatement } from '../apply/target-session.js';
import type { Row } from '../core/change.js';
import { type Binding, project } from '../pipeline/binding.js';
import { parameters, slices } from '../pipeline/compile.js';

export function dialectSafeSlices(binding: Binding, rows: readonly Row[], dialect: Dialect): Iterable<readonly Row[]> {
  return slices(
    rows.map((row) => project(binding, row)),
    dialect,
  );
}

export function insertRows(binding: Binding, rows: readonly Row[], dialect: Dialect): SqlStatement {
  const all = binding.columns.map((_, i) => i);
  return {
    text: insertSql(binding.target, binding.columns, dialect.statements),
    values: parameters(binding, all, rows),
  };
}
