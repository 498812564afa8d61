#define _GNU_SOURCE /* hsearch_r, strdup */

#include "triples.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <search.h>

#include "memory.h"

void
triples_add(TripleList *list, MetasdTriple triple)
{
    if (list->n == list->room) {
        list->room = list->room ? 2 * list->room : 1024;
        list->triples = memory_grow(list->triples, list->room * sizeof(*list->triples));
    }
    list->triples[list->n++] = triple;
}

/* ---- labels ---- */

#define MOST_ENTITIES 4000000
#define MOST_RELATIONS 100000

/* Numbers for labels, in the order they are first seen. */
typedef struct Labels {
    struct hsearch_data table;
    uint32_t seen;
} Labels;

typedef struct Reading {
    const char *folder;
    Labels entities, relations;
} Reading;

static uint32_t
number_of(Labels *labels, const char *label)
{
    ENTRY want = {.key = (char *)label}, *found;

    if (hsearch_r(want, FIND, &found, &labels->table))
        return (uint32_t)(uintptr_t)found->data;
    want.key = strdup(label);
    want.data = (void *)(uintptr_t)labels->seen;
    if (!want.key || !hsearch_r(want, ENTER, &found, &labels->table)) {
        fprintf(stderr, "too many labels\n");
        exit(1);
    }
    return labels->seen++;
}

/* ---- a folder ---- */

static TripleList
read_file(Reading *reading, const char *name, bool optional)
{
    char path[4096], *line = NULL;
    TripleList list = {0};
    size_t room = 0;
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", reading->folder, name);
    file = fopen(path, "r");
    if (!file && optional)
        return list;
    if (!file) {
        fprintf(stderr, "there is no %s\n", path);
        exit(1);
    }
    while (getline(&line, &room, file) > 0) {
        char *head = strtok(line, "\t\n"), *relation = strtok(NULL, "\t\n");
        char *tail = strtok(NULL, "\t\n");

        if (tail)
            triples_add(&list, (MetasdTriple){.head = number_of(&reading->entities, head),
                                              .relation = number_of(&reading->relations, relation),
                                              .tail = number_of(&reading->entities, tail)});
    }
    free(line);
    fclose(file);
    return list;
}

static TripleSet
read_folder(const char *folder)
{
    Reading reading = {.folder = folder};
    TripleSet set;

    if (!hcreate_r(MOST_ENTITIES, &reading.entities.table) ||
        !hcreate_r(MOST_RELATIONS, &reading.relations.table)) {
        fprintf(stderr, "there is no memory for labels\n");
        exit(1);
    }
    set.train = read_file(&reading, "train.tsv", false);
    set.validation = read_file(&reading, "valid.tsv", false);
    set.test = read_file(&reading, "test.tsv", true);
    set.entities = reading.entities.seen;
    set.relations = reading.relations.seen;
    hdestroy_r(&reading.entities.table); /* the labels themselves stay: a few megabytes */
    hdestroy_r(&reading.relations.table);
    return set;
}

TripleSet
triples_open(const char *name)
{
    unsigned long long entities, triples, relations, seed = 1;

    if (strncmp(name, "synthetic:", 10) != 0)
        return read_folder(name);
    if (sscanf(name + 10, "%llu:%llu:%llu:%llu", &entities, &triples, &relations, &seed) < 3 ||
        entities < 1 || entities > UINT32_MAX || relations < 1 || relations > UINT32_MAX / 2) {
        fprintf(stderr, "%s is not synthetic:ENTITIES:TRIPLES:RELATIONS[:SEED]\n", name);
        exit(1);
    }
    return triples_make((uint32_t)entities, (size_t)triples, (uint32_t)relations, seed);
}

void
triples_free(TripleSet *set)
{
    free(set->train.triples);
    free(set->validation.triples);
    free(set->test.triples);
    set->train = set->validation = set->test = (TripleList){0};
}
