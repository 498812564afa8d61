/*
 * near_label.c - the label of a model that differs from an unknown one in letter case or spaces.
 *
 * Letters are folded with the collation of the database, or if that folds only ASCII, with one that
 * folds Unicode. A model may have millions of labels, so nearly all are ruled out before that: they
 * have other ASCII letters, or another number of characters.
 */
#include "pg/serve/near_label.h"

#include "catalog/pg_collation.h"
#include "catalog/pg_namespace.h"
#include "mb/pg_wchar.h"
#include "utils/formatting.h"
#include "utils/syscache.h"

/* A longer label is no slip of the keyboard. */
#define MOST_BYTES 1000

/* Labels between two checks for interrupts. */
#define LABELS_PER_LOOK 1024

static inline bool
is_ascii_space(unsigned char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The bytes of the space at the start of TEXT, which is not empty; 0 if it starts with none. */
static int
space_bytes(const char *text, int character)
{
    unsigned char c = (unsigned char)*text;
    pg_wchar code;

    if (c < 0x80)
        return is_ascii_space(c);
    if (GetDatabaseEncoding() != PG_UTF8 ||
        character < Max(2, pg_utf_mblen((const unsigned char *)text)))
        return 0;
    code = utf8_to_unicode((const unsigned char *)text);
    return code == 0x85 || code == 0xa0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200b) ||
                   code == 0x2028 || code == 0x2029 || code == 0x202f || code == 0x205f ||
                   code == 0x3000 || code == 0xfeff
               ? character
               : 0;
}

/* A property that near labels share, and that is fast to compute. */
typedef struct Outline {
    uint32 characters; /* without spaces */
    uint32 hash; /* of the ASCII ones in lower case, without I, which Turkish folds otherwise */
} Outline;

static Outline
compute_outline(MetasdLabel label)
{
    Outline outline = {0, 2166136261u};
    const char *end = label.data + label.len;

    for (const char *at = label.data; at < end;) {
        unsigned char c = (unsigned char)*at;
        int character = c < 0x80 ? 1 : Min(pg_mblen(at), (int)(end - at));

        if (space_bytes(at, character) == 0) {
            outline.characters++;
            if (c < 0x80 && c != 'i' && c != 'I')
                outline.hash = (outline.hash ^ pg_ascii_tolower(c)) * 16777619u;
        }
        at += character;
    }
    return outline;
}

/*
 * Tried rather than asked for: utils/pg_locale.h needs headers of ICU, which need not be there, and
 * what it has for this changes between versions.
 */
static bool
folds_unicode(Oid collation)
{
    static const char upper[] = "\xc3\x84", lower[] = "\xc3\xa4"; /* A and a with two dots */
    char *text = str_tolower(upper, sizeof(upper) - 1, collation);
    bool folds = strcmp(text, lower) == 0;

    pfree(text);
    return folds;
}

/* A collation that folds the letters of this encoding, if there is one. */
static Oid
find_folding_collation(void)
{
    static const char *const others[] = {"und-x-icu", "C.utf8", "C.UTF-8", "pg_c_utf8"};

    if (GetDatabaseEncoding() != PG_UTF8 || folds_unicode(DEFAULT_COLLATION_OID))
        return DEFAULT_COLLATION_OID;
    for (int i = 0; i < (int)lengthof(others); i++) {
        static const int encodings[] = {-1, PG_UTF8};

        for (int e = 0; e < (int)lengthof(encodings); e++) {
            Oid collation = GetSysCacheOid3(COLLNAMEENCNSP, Anum_pg_collation_oid,
                                            CStringGetDatum(others[i]), Int32GetDatum(encodings[e]),
                                            ObjectIdGetDatum(PG_CATALOG_NAMESPACE));

            if (OidIsValid(collation))
                return collation;
        }
    }
    return DEFAULT_COLLATION_OID;
}

/* The label in lower case, with single spaces within and none around it. */
static char *
fold_label(MetasdLabel label, Oid collation)
{
    char *text = palloc(label.len + 1);
    const char *end = label.data + label.len;
    size_t len = 0;
    bool space = false;

    for (const char *at = label.data; at < end;) {
        int character = Min(pg_mblen(at), (int)(end - at));

        if (space_bytes(at, character) > 0)
            space = len > 0;
        else {
            if (space)
                text[len++] = ' ';
            space = false;
            memcpy(text + len, at, character);
            len += character;
        }
        at += character;
    }
    /* In SQL_ASCII a label need not be valid text of the locale. */
    return GetDatabaseEncoding() == PG_SQL_ASCII ? asc_tolower(text, len)
                                                 : str_tolower(text, len, collation);
}

bool
metasd_near_label_find(const MetasdLabelTable *labels, MetasdLabel label, MetasdLabel *near)
{
    Oid collation = find_folding_collation();
    Outline outline;
    char *wanted;

    if (label.len > MOST_BYTES)
        return false;
    outline = compute_outline(label);
    wanted = fold_label(label, collation);
    for (uint32 id = 0; id < labels->count && outline.characters > 0; id++) {
        Outline other;
        size_t len;

        if (id % LABELS_PER_LOOK == 0)
            CHECK_FOR_INTERRUPTS();
        near->data = metasd_label_get(labels, id, &len);
        near->len = (uint32)len;
        if (len > MOST_BYTES)
            continue;
        other = compute_outline(*near);
        if (other.characters == outline.characters && other.hash == outline.hash) {
            char *text = fold_label(*near, collation);
            bool same = strcmp(text, wanted) == 0;

            pfree(text);
            if (same)
                return true;
        }
    }
    return false;
}
