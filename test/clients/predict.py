# Asks metasd through psycopg 2 or 3, which the argument names; the environment leads to the server. 045_interop.pl
# compares what it prints.
import sys
import uuid

if sys.argv[1] == "psycopg2":
    import psycopg2 as driver
    import psycopg2.extras

    psycopg2.extras.register_uuid()
    connection = driver.connect("")
    code = lambda error: error.pgcode
else:
    import psycopg as driver

    connection = driver.connect("")
    code = lambda error: error.sqlstate
connection.autocommit = True
cursor = connection.cursor()


def ask(statement, *values):
    cursor.execute(statement, values)
    return cursor.fetchall()


def show(kind, model, head, relation):
    # more often than any driver waits before it prepares a statement
    for _ in range(12):
        rows = ask("SELECT tail FROM kg_predict(%s, %s, 2, %s, known => 'include') ORDER BY rank", head, relation, model)
    assert all(type(row[0]) is type(head) for row in rows), rows
    print(kind, *(row[0] for row in rows))


show("int", "numbers", 1, 7)
show("text", "texts", "a", "r")
show("uuid", "ids", uuid.UUID(int=1), uuid.UUID(int=7))
print("null", len(ask("SELECT * FROM kg_predict(%s::text, %s, model => %s)", None, "r", "texts")))
print("score", ask("SELECT kg_score(%s, %s, %s, %s)", 1, 7, 2, "numbers")[0][0])
embedding = ask("SELECT kg_embedding(%s, %s)", 2, "numbers")[0][0]
assert type(embedding) is list
print("embedding", *("%g" % x for x in embedding))
rows = ask("SELECT head, tail FROM kg_predict_many(%s::text[], %s::text[], 1, %s, known => 'include') ORDER BY query", ["a", "b"], ["r"], "texts")
print("many", *("%s-%s" % row for row in rows))
try:
    ask("SELECT kg_score(%s, %s, %s, %s)", 1, 7, 2, "nothing")
except driver.Error as error:
    print("error", code(error))
