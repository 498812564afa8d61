-- Labels are text in the encoding of their database, and reach clients of other encodings as text does.
SELECT current_database() AS here \gset
CREATE DATABASE regress_metasd_utf8 TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C';
\c regress_metasd_utf8
\encoding UTF8
SET client_min_messages = warning;
CREATE EXTENSION metasd;
CREATE TABLE people (head text, relation text, tail text);
INSERT INTO people VALUES ('Zoë', 'hört', 'Dvořák'), ('Zoë', 'spricht', 'Język polski'), ('José', 'hört', 'Dvořák'), ('Ærø', 'hört', '名前');
SELECT kg_train('leute – 人', 'people', params => '{"rank": 8, "epochs": 2}') AS run \gset
DO $$
BEGIN
    FOR i IN 1 .. 18000 LOOP
        IF NOT EXISTS (SELECT FROM metasd.progress) THEN
            RETURN;
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RAISE 'waited in vain';
END $$;
RESET client_min_messages;
\pset format unaligned
SELECT name, last_status FROM metasd.models;
SELECT tail, known FROM kg_predict('Ærø', 'hört', 100, known => 'mark') WHERE known;
SELECT string_agg(entity, ' ' ORDER BY entity) FROM kg_similar('Zoë', 100);

-- The notice of an unknown label is cut between two characters.
SELECT * FROM kg_predict(repeat('é', 300), 'hört', 1);
SELECT * FROM kg_predict('x' || repeat('é', 300), 'hört', 1);
SELECT * FROM kg_predict('x' || repeat('名', 300), 'hört', 1);

-- A client of another encoding asks and is answered in it, as far as it has the characters.
\encoding LATIN1
SELECT count(*) FROM kg_predict('Zo' || chr(235), 'h' || chr(246) || 'rt', 100, known => 'mark') WHERE known;
SELECT tail FROM kg_predict('Zo' || chr(235), 'h' || chr(246) || 'rt', 100, known => 'mark') WHERE known;
\encoding UTF8
\pset format aligned
\c :here
DROP DATABASE regress_metasd_utf8;
