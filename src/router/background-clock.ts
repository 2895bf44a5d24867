import { type Clock, systemClock } from '../core/clock.js';

/** As the system's clock, but its timers do not keep a finished program alive. */
export const backgroundClock: Clock = {
  ...systemClock,
  setTimer(ms, callback) {
    const handle = setTimeout(callback, Math.max(0, ms));
    handle.unref();
    return { cancel: () => clearTimeout(handle) };
  },
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      const stop = () => {
        clearTimeout(handle);
        reject(signal?.reason);
      };
      const handle = setTimeout(() => {
        signal?.removeEventListener('abort', stop);
        resolve();
      }, ms);
      handle.unref();
      signal?.addEventListener('abort', stop, { once: true });
    }),
};
