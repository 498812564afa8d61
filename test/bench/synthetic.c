/*
 * synthetic.c - writes a made-up graph whose degrees follow a power law, a triple a line.
 *
 *   build/bench/synthetic ENTITIES TRIPLES RELATIONS [SEED] > train.tsv
 *
 * The same as synthetic:ENTITIES:TRIPLES:RELATIONS[:SEED] in place of a folder of epoch.
 */
#include <stdio.h>
#include <stdlib.h>

#include "triples.h"

int
main(int argc, char **argv)
{
    char name[256];
    TripleSet set;

    if (argc < 4 || argc > 5) {
        fprintf(stderr, "usage: %s ENTITIES TRIPLES RELATIONS [SEED]\n", argv[0]);
        return 2;
    }
    snprintf(name, sizeof(name), "synthetic:%s:%s:%s:%s", argv[1], argv[2], argv[3],
             argc > 4 ? argv[4] : "1");
    set = triples_open(name);
    for (size_t i = 0; i < set.train.n; i++) {
        MetasdTriple t = set.train.triples[i];

        printf("e%u\tr%u\te%u\n", t.head, t.relation, t.tail);
    }
    if (ferror(stdout) || fflush(stdout) != 0) {
        perror("writing");
        return 1;
    }
    triples_free(&set);
    return 0;
}
