/** A streamer in a process of its own hears over HTTP whether the primary is used. */
import { describe, expect, it } from 'vitest';
import { ALWAYS_AWAKE, type PrimaryRest } from '../../src/core/economy.js';
import { Secret } from '../../src/core/secret.js';
import { followController } from '../../src/economy/controller-activity.js';
import { Rest } from '../../src/economy/rest.js';
import { activityRoutes } from '../../src/http/activity.js';
import { FakeClock } from '../harness/fake-clock.js';
import { openHttp, TOKEN } from '../harness/http-fixture.js';
import { waitFor } from '../harness/wait.js';
import { TestLog } from '../integration/support/stream.js';

const IDLE = 60_000;
const MAX = 3_600_000;

/** Two processes, each with a clock of its own: the controller's rest is served, the streamer's follows it. */
async function two(of?: PrimaryRest) {
  const far = new FakeClock();
  const near = new FakeClock();
  const log = new TestLog();
  const controller = new Rest({ clock: far, log, idleMs: IDLE, maxMs: MAX });
  const streamer = new Rest({ clock: near, log, idleMs: IDLE, maxMs: MAX });
  const routes = [activityRoutes(of ?? controller, () => far.monotonic())];
  const http = await openHttp({ controlToken: new Secret(TOKEN), routes });
  const stop = new AbortController();
  const following = followController(
    { url: http.base, token: new Secret(TOKEN), rest: streamer, clock: near, log },
    stop.signal,
  );
  return {
    ...{ controller, far, http, log, near, streamer },
    /** Seconds of the streamer's clock, with time for answers in between. */
    async seconds(n: number, until: () => boolean = () => false) {
      for (let i = 0; i < n && !until(); i++) {
        await near.advance(1000);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await http[Symbol.asyncDispose]();
      await following;
      controller.close();
      streamer.close();
    },
  };
}

describe('a streamer by itself', () => {
  it('rests when the controller does, and is awake again at once', async () => {
    await using it_ = await two();
    await it_.far.advance(IDLE);
    expect(it_.controller.mode).toBe('resting');
    await it_.seconds(200, () => it_.streamer.mode === 'resting');
    expect(it_.streamer.mode).toBe('resting');
    await it_.far.advance(1000);
    it_.controller.stir('application');
    // No time goes by on the streamer's clock: the answer that it waits for comes.
    await waitFor(() => it_.streamer.awake, { what: 'the streamer is woken' });
    expect(it_.streamer.view().wokenBy).toBe('controller');
  });

  it('stays awake while the primary is used', async () => {
    await using it_ = await two();
    for (let i = 0; i < 20; i++) {
      it_.controller.stir('application');
      await it_.seconds(10);
      expect(it_.streamer.awake).toBe(true);
    }
  });

  it('stays awake beside a controller without economy mode', async () => {
    await using it_ = await two(ALWAYS_AWAKE);
    await it_.seconds(150);
    expect(it_.streamer.awake).toBe(true);
  });

  it('does not rest for long where nobody can say that the primary is not used', async () => {
    await using it_ = await two();
    await it_.http.close();
    await it_.seconds(300);
    expect(it_.streamer.view()).toMatchObject({ mode: 'awake' });
    expect(it_.log.entries.map(({ message }) => message).join()).toContain('does not say whether the primary is used');
  });

  it('is refused without the token', async () => {
    await using it_ = await two();
    expect((await it_.http.get('/api/system/activity')).status).toBe(401);
    const allowed = await it_.http.get('/api/system/activity', { headers: { Authorization: `Bearer ${TOKEN}` } });
    expect(await allowed.json()).toEqual({ mode: 'awake', idleMs: 0 });
  });
});
