/* The implementation, once. edgeprof.h must lie beside this file: docs/instrument.md says how it gets there. */
#define EDGEPROF_IMPLEMENTATION
#include "edgeprof.h"
