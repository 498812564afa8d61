// Asks metasd through node-postgres; the environment leads to the server. 045_interop.pl compares what it prints.
const { Client } = require('pg');

function check(condition) {
  if (!condition) throw new Error('a value has another type');
}

async function main() {
  const client = new Client();
  await client.connect();

  async function show(kind, model, head, relation, cast, type) {
    const text = `SELECT tail FROM kg_predict($1::${cast}, $2::${cast}, 2, $3, known => 'include') ORDER BY rank`;
    let rows;
    for (let i = 0; i < 12; i++) // a named statement is prepared once
      rows = (await client.query({ name: kind, text, values: [head, relation, model] })).rows;
    check(rows.every((row) => typeof row.tail === type));
    console.log([kind, ...rows.map((row) => row.tail)].join(' '));
  }

  await show('int', 'numbers', 1, 7, 'int', 'number');
  await show('text', 'texts', 'a', 'r', 'text', 'string');
  await show('uuid', 'ids', '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000007', 'uuid', 'string');
  // A parameter without a cast is text.
  const plain = await client.query("SELECT tail FROM kg_predict($1, $2, 1, $3, known => 'include')", ['a', 'r', 'texts']);
  check(plain.rows[0].tail === 'b');
  console.log('null', (await client.query('SELECT * FROM kg_predict($1::text, $2, model => $3)', [null, 'r', 'texts'])).rowCount);
  const score = await client.query('SELECT kg_score($1::int, $2::int, $3::int, $4) AS score', [1, 7, 2, 'numbers']);
  console.log('score', score.rows[0].score);
  const row = (await client.query('SELECT kg_embedding($1::int, $2) AS embedding', [2, 'numbers'])).rows[0];
  check(Array.isArray(row.embedding));
  console.log('embedding', ...row.embedding);
  const many = await client.query("SELECT head, tail FROM kg_predict_many($1::text[], $2::text[], 1, $3, known => 'include') ORDER BY query",
    [['a', 'b'], ['r'], 'texts']);
  console.log('many', ...many.rows.map((answer) => `${answer.head}-${answer.tail}`));
  await client.query('SELECT kg_score($1::int, $2::int, $3::int, $4)', [1, 7, 2, 'nothing'])
    .catch((error) => console.log('error', error.code));
  await client.end();
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
