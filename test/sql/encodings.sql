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
SELECT string_agg(entity, ' ' ORDER BY entity COLLATE "C") FROM kg_similar('Zoë', 100);

-- The notice of an unknown label is cut between two characters.
SELECT * FROM kg_predict(repeat('é', 300), 'hört', 1);
SELECT * FROM kg_predict('x' || repeat('é', 300), 'hört', 1);
SELECT * FROM kg_predict('x' || repeat('名', 300), 'hört', 1);

-- What may have been meant differs in the case of letters, be they of ASCII or not, or in spaces: around it, within it,
-- and of other kinds. On either side.
INSERT INTO people VALUES (' Ålesund  by ', 'hört', 'Dvořák'), ('  ', 'hört', 'Dvořák'), (repeat('ü', 150) || ' ', 'hört', 'Dvořák'),
                          ('Ålesund', 'hört', 'Dvořák'), ('straße', 'hört', 'Dvořák');
SET client_min_messages = warning;
SELECT kg_train('leute – 人', params => '{"promote_tolerance": 1, "warm_start": false}') AS run \gset
DO $$
BEGIN
    FOR i IN 1 .. 6000 LOOP
        EXIT WHEN NOT EXISTS (SELECT FROM metasd.progress);
        PERFORM pg_sleep(0.01);
    END LOOP;
END $$;
RESET client_min_messages;
CREATE FUNCTION hint(label text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    PERFORM kg_predict(label, 'hört', 1, candidate_ids => ARRAY[label]);
    RETURN NULL;
END $$;
\pset tuples_only on
\set SHOW_CONTEXT never
SELECT hint('ZOË');
SELECT hint('zoË ');
SELECT hint(' dvořÁk');
SELECT hint('dvorak');
SELECT hint('JĘZYK' || chr(160) || 'POLSKI');
SELECT hint('język   polski');
SELECT hint('językpolski');
SELECT hint('ålesund by');
SELECT hint('ålesund' || chr(12288));
SELECT hint('STRASSE');
SELECT hint('名前 ');
SELECT hint('名');
SELECT hint('');
SELECT hint(repeat('ü', 150));
SELECT hint('Ü' || repeat('ü', 149));
SELECT hint('    ');
SELECT hint('HÖRT');
SELECT hint('hört');
SELECT count(*) FROM kg_predict('Zoë', 'HÖRT');
SELECT count(*) FROM kg_predict('Zoë', 'zoë');
\pset tuples_only off
\unset SHOW_CONTEXT

-- A client of another encoding asks and is answered in it, as far as it has the characters.
\encoding LATIN1
SELECT count(*) FROM kg_predict('Zo' || chr(235), 'h' || chr(246) || 'rt', 100, known => 'mark') WHERE known;
SELECT tail FROM kg_predict('Zo' || chr(235), 'h' || chr(246) || 'rt', 100, known => 'mark') WHERE known;
\encoding UTF8
\pset format aligned
\c :here
DROP DATABASE regress_metasd_utf8;
