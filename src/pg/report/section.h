/*
 * section.h - what the sections of a report are about. SPI is connected while they are written.
 */
#ifndef METASD_PG_REPORT_SECTION_H
#define METASD_PG_REPORT_SECTION_H

#include "pg/base/compat.h"

#include "core/base/team.h"
#include "pg/catalog/model.h"
#include "pg/image/image_cache.h"
#include "pg/report/figures.h"
#include "pg/report/html.h"

typedef struct MetasdReport {
    MetasdHtml *html;
    const MetasdModel *model;
    const MetasdImage *image;
    MetasdFigures figures;
    bool shown; /* the caller may see what is known of the validation facts */
    MetasdTeam *team;
} MetasdReport;

/* The widest label in text and tables, in columns. */
#define METASD_LABEL_COLUMNS 60

#endif
