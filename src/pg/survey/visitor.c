#include "pg/survey/visitor.h"

#include "pg/survey/calibrate_visitor.h"
#include "pg/survey/discover_visitor.h"
#include "pg/survey/suspect_visitor.h"

const MetasdVisitorFunctions metasd_visitor_functions[METASD_VISITORS] = {
    [METASD_VISIT_TO_CALIBRATE] = {metasd_calibrate_visitor_start, metasd_calibrate_visitor_visit},
    [METASD_VISIT_TO_DISCOVER] = {metasd_discover_visitor_start, metasd_discover_visitor_visit},
    [METASD_VISIT_TO_SAMPLE] = {metasd_suspect_visitor_start, metasd_suspect_visitor_sample},
    [METASD_VISIT_TO_SUSPECT] = {metasd_suspect_visitor_start, metasd_suspect_visitor_visit},
};
