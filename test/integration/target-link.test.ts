/** Work on the secondary that is tried again, and where that must end. */
import { expect, it } from 'vitest';
import { Patience } from '../../src/apply/patience.js';
import { TargetSession } from '../../src/apply/target-session.js';
import { Backoff } from '../../src/core/backoff.js';
import { systemClock } from '../../src/core/clock.js';
import { TargetLink } from '../../src/meta/target-link.js';
import { createDatabasePair } from '../harness/cluster.js';
import { describeDialects } from '../harness/secondary-dialects.js';
import { connectionOf } from './catchup-support.js';

const END_MYSELF = 'SELECT pg_terminate_backend(pg_backend_pid())';

describeDialects('a link to the secondary', (dialect) => {
  it('G7 gives work up whose other connection is lost, which a recovery would try again without end', async () => {
    await using pair = await createDatabasePair('link', dialect);
    const abort = new AbortController();
    const retried: unknown[] = [];
    const open = (url: string) => TargetSession.connect(connectionOf(url), new Patience(10_000));
    const link = new TargetLink({
      connect: () => open(pair.secondary.url),
      clock: systemClock,
      backoff: new Backoff({ initialMs: 10, maxMs: 50 }),
      signal: abort.signal,
      onRetry: (error) => {
        retried.push(error);
        if (retried.length > 20) abort.abort(new Error('It goes on without end'));
      },
    });
    const primary = await open(pair.primary.url);
    try {
      const both = link.beside(primary).with(async (secondary) => {
        await secondary.exec('SELECT 1');
        await primary.exec(END_MYSELF);
        await primary.exec('SELECT 1');
      });
      await expect(both).rejects.toThrow(/terminat|not queryable/i);
      // The secondary was not to blame, and is asked on the same session.
      expect((await link.run('SELECT 1 AS there')).rows).toEqual([{ there: '1' }]);
    } finally {
      primary.destroy();
      await link.close();
    }
  });

  it('is tried again on a new session when its own is lost', async () => {
    await using pair = await createDatabasePair('link', dialect);
    const retried: unknown[] = [];
    const sessions: TargetSession[] = [];
    const link = new TargetLink({
      connect: async () => {
        const session = await TargetSession.connect(connectionOf(pair.secondary.url), new Patience(10_000));
        sessions.push(session);
        return session;
      },
      clock: systemClock,
      backoff: new Backoff({ initialMs: 10, maxMs: 50 }),
      signal: new AbortController().signal,
      onRetry: (error) => retried.push(error),
    });
    await link.run('SELECT 1');
    sessions[0]?.destroy();
    expect((await link.run('SELECT 2 AS there')).rows).toEqual([{ there: '2' }]);
    expect(sessions).toHaveLength(2);
    await link.close();
  });
});
