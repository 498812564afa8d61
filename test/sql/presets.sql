-- Defaults follow from the preset and from the graph's size: entities, relations, triples an entity.
CREATE TABLE sizes (n integer, graph text, entities integer, relations integer, triples integer);
INSERT INTO sizes VALUES (1, 'small', 200, 7, 800), (2, 'small, dense', 40, 7, 1400),
    (3, 'large', 9000, 20, 60000), (4, 'large, thin', 15000, 11, 40000), (5, 'large, 150 relations', 9000, 150, 60000);
CREATE TABLE made (head integer, relation integer, tail integer);
CREATE FUNCTION defaults(size sizes) RETURNS TABLE (graph text, preset text, warmup text, finetune text, epochs text,
    mutual text, rank text, sparsity text, batch text, negatives text, regularizer text, reg text, relation_weight text, class_weights text, pruning text)
LANGUAGE plpgsql AS $$
BEGIN
    TRUNCATE made;
    INSERT INTO made SELECT i % size.entities, i / size.entities % size.relations, (i::bigint * 7919 + i / size.entities) % size.entities
    FROM generate_series(0, size.triples - 1) i;
    INSERT INTO made SELECT 0, i, 1 FROM generate_series(0, size.relations - 1) i;
    RETURN QUERY SELECT size.graph, p.preset, u ->> 'warmup', u ->> 'finetune', u ->> 'epochs', u ->> 'mutual', u ->> 'rank', u ->> 'sparsity',
        u ->> 'batch', u ->> 'negatives', u ->> 'regularizer', u ->> 'reg', u ->> 'relation_weight', u ->> 'class_weights', u ->> 'pruning'
    FROM unnest('{fast, balanced, best}'::text[]) p(preset),
         LATERAL (SELECT params_used FROM kg_estimate('made', params => jsonb_build_object('preset', p.preset))) e(u);
END
$$;
SET metasd.train_mem = 0;
SELECT d.* FROM sizes s, defaults(s) d ORDER BY s.n;

-- Nothing of a small, dense graph is pruned, unless that is asked for.
TRUNCATE made;
INSERT INTO made SELECT i % 40, i / 40 % 7, (i::bigint * 7919 + i / 40) % 40 FROM generate_series(0, 1399) i;
SELECT p, u ->> 'warmup' AS warmup, u ->> 'epochs' AS epochs, u ->> 'mutual' AS mutual, u ->> 'rank' AS rank, u ->> 'sparsity' AS sparsity, u ->> 'storage' AS storage
FROM jsonb_array_elements('[{}, {"rank": 30}, {"sparsity": 0}, {"mutual": false}, {"sparsity": 0.8}, {"mutual": true}, {"quiz": true}, {"warmup": 3}, {"pruning": "magnitude"},
                            {"epochs": 12}, {"max_bytes": 16000}, {"max_bytes": 8000}, {"max_bytes": 4000}]') p,
     LATERAL (SELECT params_used FROM kg_estimate('made', params => p)) e(u);
SELECT (defaults(s)).rank FROM sizes s WHERE n = 5;

RESET metasd.train_mem;
-- What is given stays as it is; epochs alone stretch or shorten all phases.
SELECT u ->> 'preset' AS preset, u ->> 'rank' AS rank, u ->> 'reg' AS reg, u ->> 'epochs' AS epochs, u ->> 'warmup' AS warmup, u ->> 'finetune' AS finetune
FROM (SELECT params_used FROM kg_estimate('made', params => '{"preset": "fast", "rank": 64, "epochs": 18}')) e(u);

-- A default rank is one that memory allows, with some to spare; a lower one than 100 is for the user to choose.
CREATE FUNCTION needed(p jsonb) RETURNS bigint LANGUAGE sql AS
$$SELECT train_bytes FROM kg_estimate('made', params => '{"warm_start": false}' || p)$$;
SET metasd.train_mem = '350MB';
SELECT rank BETWEEN 110 AND 460 AND rank % 10 = 0 AS lower, train_bytes < 350 << 20 AS fits,
       needed(jsonb_build_object('preset', 'best', 'rank', rank + 10)) > (350 << 20) / 16 * 15 AS most, params_used -> 'rank' = to_jsonb(rank) AS used
FROM kg_estimate('made', params => '{"preset": "best", "warm_start": false}');
SELECT rank, train_bytes > 350 << 20 AS given FROM kg_estimate('made', params => '{"rank": 1000}');
SET metasd.train_mem = '1MB';
SELECT rank FROM kg_estimate('made');
SET metasd.train_mem = 0;
SELECT rank FROM kg_estimate('made');
RESET metasd.train_mem;

-- A version is as small as max_bytes says, by what was not given: fewer bits, then a lower rank, then fewer weights.
SELECT m AS max_bytes, u ->> 'storage' AS storage, (u ->> 'rank')::int < 150 AS "lower rank", (u ->> 'sparsity')::float8 > 0.5 AS "fewer weights", m = 0 OR stored_bytes <= m AS fits
FROM unnest('{0, 4000000, 1500000, 1000000, 400000}'::int[]) m,
     LATERAL (SELECT params_used, stored_bytes FROM kg_estimate('made', params => jsonb_build_object('max_bytes', m))) e(u, stored_bytes);
SELECT rank, p -> 'storage' AS storage, params_used ->> 'storage' AS used, params_used ->> 'sparsity' AS sparsity, stored_bytes <= 1500000 AS fits
FROM jsonb_array_elements('[{"storage": "int8"}, {"rank": 200}, {"sparsity": 0.8}, {"rank": 200, "storage": "int8"}, {"sparsity": 0}]') p,
     kg_estimate('made', params => p || '{"max_bytes": 1500000}');
SELECT rank < 100 AS lower, stored_bytes <= 700000 AS fits FROM kg_estimate('made', params => '{"max_bytes": 700000, "sparsity": 0}');
SET metasd.train_mem = '1MB';
SELECT rank < 100 AS "not raised" FROM kg_estimate('made', params => '{"max_bytes": 700000, "sparsity": 0}');
RESET metasd.train_mem;
SELECT kg_estimate('made', params => '{"max_bytes": 100000}');
SELECT kg_estimate('made', params => '{"max_bytes": 1500000, "rank": 200, "sparsity": 0.2, "storage": "int8"}');
DROP FUNCTION needed;
DROP FUNCTION defaults;
DROP TABLE sizes, made;
