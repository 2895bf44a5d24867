/**
 * One small program per library, in the form that docs/router.md recommends. All do the same on a table `notes`, so
 * that one scenario serves them all.
 */
import { createRequire } from 'node:module';
import { EntitySchema as MikroSchema } from '@mikro-orm/core';
import { MikroORM, knex as mikroKnex, PostgreSqlKnexDialect } from '@mikro-orm/postgresql';
import { PrismaPg } from '@prisma/adapter-pg';
import { sql as drizzleSql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { integer, pgTable, text } from 'drizzle-orm/pg-core';
import knex, { type Knex } from 'knex';
import { Kysely, sql as kyselySql, PostgresDialect } from 'kysely';
import { DataTypes, QueryTypes, Sequelize } from 'sequelize';
import { DataSource, EntitySchema } from 'typeorm';
import { createPgModule } from '../../../src/router/module.js';
import { RouterPool, type RouterPoolOptions } from '../../../src/router/pool.js';
import { PrismaClient } from '../../data/prisma/generated/client.js';

export interface Program {
  /** One statement outside of a transaction. */
  add(id: number): Promise<unknown>;
  ids(): Promise<number[]>;
  /** Adds two notes in one transaction; gives the backends that served its beginning and its end. */
  addTwo(first: number, second: number, between?: () => Promise<void>): Promise<[number, number]>;
  close(): Promise<unknown>;
}

interface Pid {
  pid: number;
}

interface Note {
  id: number;
  text: string;
}
const PID = 'SELECT pg_backend_pid() AS pid';
/** Knex prints connections that it gives up. */
const QUIET = { warn() {}, error() {}, debug() {}, deprecate() {} };
const sorted = (rows: readonly { id: number }[]) => rows.map((row) => row.id).sort((a, b) => a - b);
const nothing = async () => undefined;

export const LIBRARIES: Readonly<Record<string, (options: RouterPoolOptions) => Program | Promise<Program>>> = {
  'plain pg': (options) => {
    const pool = new RouterPool(options);
    return {
      add: (id) => pool.query("INSERT INTO notes VALUES ($1, 'x')", [id]),
      ids: async () => sorted((await pool.query('SELECT id FROM notes')).rows),
      async addTwo(first, second, between = nothing) {
        const client = await pool.connect();
        try {
          await client.query('BEGIN');
          await client.query("INSERT INTO notes VALUES ($1, 'x')", [first]);
          const begun = (await client.query(PID)).rows[0].pid;
          await between();
          await client.query("INSERT INTO notes VALUES ($1, 'x')", [second]);
          const ended = (await client.query(PID)).rows[0].pid;
          await client.query('COMMIT');
          return [begun, ended];
        } catch (error) {
          await client.query('ROLLBACK');
          throw error;
        } finally {
          client.release();
        }
      },
      close: () => pool.end(),
    };
  },

  Drizzle: (options) => {
    const pool = new RouterPool(options);
    const db = drizzle(pool);
    const notes = pgTable('notes', { id: integer().primaryKey(), text: text().notNull() });
    return {
      add: (id) => db.insert(notes).values({ id, text: 'x' }),
      ids: async () => sorted(await db.select().from(notes)),
      addTwo: (first, second, between = nothing) =>
        db.transaction(async (tx) => {
          const pid = async () => Number((await tx.execute(drizzleSql.raw(PID))).rows[0]?.pid);
          await tx.insert(notes).values({ id: first, text: 'x' });
          const begun = await pid();
          await between();
          await tx.insert(notes).values({ id: second, text: 'x' });
          return [begun, await pid()];
        }),
      close: () => pool.end(),
    };
  },

  Prisma: (options) => {
    const pool = new RouterPool(options);
    const prisma = new PrismaClient({ adapter: new PrismaPg(pool) });
    return {
      add: (id) => prisma.note.create({ data: { id, text: 'x' } }),
      ids: async () => sorted(await prisma.note.findMany()),
      addTwo: (first, second, between = nothing) =>
        prisma.$transaction(
          async (tx) => {
            const pid = async () => Number(((await tx.$queryRawUnsafe(PID)) as { pid: number }[])[0]?.pid);
            await tx.note.create({ data: { id: first, text: 'x' } });
            const begun = await pid();
            await between();
            await tx.note.create({ data: { id: second, text: 'x' } });
            return [begun, await pid()] as [number, number];
          },
          { timeout: 20_000 },
        ),
      async close() {
        await prisma.$disconnect();
        if (!pool.ending) await pool.end();
      },
    };
  },

  Kysely: (options) => {
    const db = new Kysely<{ notes: Note }>({ dialect: new PostgresDialect({ pool: new RouterPool(options) }) });
    return {
      add: (id) => db.insertInto('notes').values({ id, text: 'x' }).execute(),
      ids: async () => sorted(await db.selectFrom('notes').select('id').execute()),
      addTwo: (first, second, between = nothing) =>
        db.transaction().execute(async (trx) => {
          const pid = async () => Number((await kyselySql.raw<{ pid: number }>(PID).execute(trx)).rows[0]?.pid);
          await trx.insertInto('notes').values({ id: first, text: 'x' }).execute();
          const begun = await pid();
          await between();
          await trx.insertInto('notes').values({ id: second, text: 'x' }).execute();
          return [begun, await pid()];
        }),
      close: () => db.destroy(),
    };
  },

  Knex: (options) => {
    const { db, close } = routedKnex(options);
    return {
      add: (id) => db('notes').insert({ id, text: 'x' }),
      ids: async () => sorted(await db<Note>('notes').select('id')),
      addTwo: (first, second, between = nothing) =>
        db.transaction(async (trx) => {
          const pid = async () => Number((await trx.raw(PID)).rows[0].pid);
          await trx('notes').insert({ id: first, text: 'x' });
          const begun = await pid();
          await between();
          await trx('notes').insert({ id: second, text: 'x' });
          return [begun, await pid()] as [number, number];
        }),
      close,
    };
  },

  TypeORM: async (options) => {
    const driver = createPgModule(options);
    const notes = new EntitySchema<Note>({
      name: 'notes',
      columns: { id: { type: Number, primary: true }, text: { type: String } },
    });
    const source = new DataSource({ type: 'postgres', driver, entities: [notes], extra: { max: 4 } });
    await source.initialize();
    return {
      add: (id) => source.getRepository(notes).insert({ id, text: 'x' }),
      ids: async () => sorted(await source.getRepository(notes).find()),
      addTwo: (first, second, between = nothing) =>
        source.transaction(async (manager) => {
          const pid = async () => Number((await manager.query(PID))[0].pid);
          await manager.insert(notes, { id: first, text: 'x' });
          const begun = await pid();
          await between();
          await manager.insert(notes, { id: second, text: 'x' });
          return [begun, await pid()];
        }),
      async close() {
        await source.destroy();
        driver.close();
      },
    };
  },

  Sequelize: (options) => {
    const module = createPgModule(options);
    const sequelize = new Sequelize({ dialect: 'postgres', dialectModule: module, logging: false });
    const notes = sequelize.define(
      'notes',
      { id: { type: DataTypes.INTEGER, primaryKey: true }, text: DataTypes.TEXT },
      { timestamps: false },
    );
    return {
      add: (id) => notes.create({ id, text: 'x' }),
      ids: async () => sorted((await notes.findAll({ raw: true })) as unknown as Note[]),
      addTwo: (first, second, between = nothing) =>
        sequelize.transaction(async (transaction) => {
          const pid = async () => {
            const rows = await sequelize.query<{ pid: number }>(PID, { transaction, type: QueryTypes.SELECT });
            return Number(rows[0]?.pid);
          };
          await notes.create({ id: first, text: 'x' }, { transaction });
          const begun = await pid();
          await between();
          await notes.create({ id: second, text: 'x' }, { transaction });
          return [begun, await pid()] as [number, number];
        }),
      async close() {
        await sequelize.close();
        module.close();
      },
    };
  },

  MikroORM: async (options) => {
    // Its own copy of Knex, and its own dialect.
    const { db, close } = routedKnex(options, mikroKnex as never, PostgreSqlKnexDialect as never);
    const notes = new MikroSchema<Note>({
      name: 'notes',
      properties: { id: { type: 'integer', primary: true }, text: { type: 'text' } },
    });
    const orm = await MikroORM.init({
      dbName: 'routed',
      driverOptions: db,
      ensureDatabase: false,
      entities: [notes],
      logger: () => undefined,
    });
    return {
      add: (id) => orm.em.fork().insert(notes, { id, text: 'x' }),
      ids: async () => sorted(await orm.em.fork().find(notes, {})),
      addTwo: (first, second, between = nothing) =>
        orm.em.fork().transactional(async (em) => {
          const pid = async () =>
            Number((await em.getConnection().execute<Pid[]>(PID, [], 'all', em.getTransactionContext()))[0]?.pid);
          await em.insert(notes, { id: first, text: 'x' });
          const begun = await pid();
          await between();
          await em.insert(notes, { id: second, text: 'x' });
          return [begun, await pid()];
        }),
      async close() {
        await orm.close();
        await close();
      },
    };
  },
};

const postgresOfKnex = () =>
  createRequire(import.meta.url)('knex/lib/dialects/postgres/index.js') as typeof Knex.Client;

/** Knex makes its connections itself: its driver is the module that createPgModule gives. */
function routedKnex(options: RouterPoolOptions, factory = knex, Postgres = postgresOfKnex()) {
  const module = createPgModule(options);
  class RoutedPostgres extends Postgres {
    _driver() {
      return module;
    }
  }
  const db = factory({ client: RoutedPostgres, connection: {}, pool: { min: 0, max: 4 }, log: QUIET });
  return {
    db,
    async close() {
      await db.destroy();
      module.close();
    },
  };
}
