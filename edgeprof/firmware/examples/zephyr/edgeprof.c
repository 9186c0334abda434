#define EDGEPROF_IMPLEMENTATION
#include "edgeprof.h"
