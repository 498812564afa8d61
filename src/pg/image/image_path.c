#include "pg/image/image_path.h"

#include <ctype.h>

#include "storage/fd.h"
#include "utils/builtins.h"

#define PREFIX PG_TEMP_FILE_PREFIX "_metasd_"

MetasdImagePath
metasd_image_path(const pg_uuid_t *uuid)
{
    MetasdImagePath path;
    char *text = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(uuid)));

    snprintf(path.name, sizeof(path.name), METASD_IMAGE_DIRECTORY "/" PREFIX "%u_%s", MyDatabaseId,
             text);
    pfree(text);
    return path;
}

MetasdImagePath
metasd_image_path_of_draft(const MetasdImagePath *path)
{
    MetasdImagePath draft;

    snprintf(draft.name, sizeof(draft.name), "%.*s.%d", MAXPGPATH - 16, path->name, MyProcPid);
    return draft;
}

bool
metasd_image_path_parse(const char *name, MetasdImageName *parsed)
{
    char *end;
    const char *dot = strchr(name, '.');

    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return false;
    parsed->database = (Oid)strtoul(name + strlen(PREFIX), &end, 10);
    parsed->writer = dot ? atoi(dot + 1) : 0;
    snprintf(parsed->path.name, sizeof(parsed->path.name), METASD_IMAGE_DIRECTORY "/%s", name);
    return *end == '_';
}

bool
metasd_image_path_uuid(const MetasdImagePath *path, pg_uuid_t *uuid)
{
    const char *text = strrchr(path->name, '_') + 1;

    for (int i = 0; i < UUID_LEN; i++) {
        unsigned int byte;

        text += *text == '-';
        if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
            sscanf(text, "%2x", &byte) != 1)
            return false;
        uuid->data[i] = (unsigned char)byte;
        text += 2;
    }
    return *text == '\0';
}
