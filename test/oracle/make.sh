#!/bin/sh
# test/oracle/make.sh [--check] [NAME ...] makes the golden files of test/unit/golden, all or those
# named. With --check it compares them with the oracle, and changes none.
exec python3 -B "$(dirname "$0")/golden.py" "$@"
