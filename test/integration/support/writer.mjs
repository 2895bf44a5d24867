/**
 * An application of its own process: writes without a pause, in single statements and in transactions, and says what it
 * gets. Arguments: folder of the compiled sources, RouterPool options as JSON.
 */
const [, , dist, json] = process.argv;
const { RouterPool } = await import(new URL('index.js', `file://${dist}/`).href);
const pool = new RouterPool(JSON.parse(json));
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

async function singles() {
  for (;;) {
    await pool.query("INSERT INTO t (kind) VALUES ('single')").then(
      () => console.log('single ok'),
      (error) => console.log(`single ${error.code} ${error.name}`),
    );
    await pause(5);
  }
}

async function transactions() {
  for (;;) {
    const client = await pool.connect().catch((error) => console.log(`connect ${error.code} ${error.name}`));
    if (!client) continue;
    try {
      await client.query('BEGIN');
      await client.query("INSERT INTO t (kind) VALUES ('transaction')");
      await pause(20);
      await client.query('COMMIT');
      console.log('transaction ok');
    } catch (error) {
      await client.query('ROLLBACK');
      console.log(`transaction ${error.code} ${error.name}`);
    } finally {
      client.release();
    }
  }
}

void singles();
void transactions();
