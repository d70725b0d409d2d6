#include "e-hal.h"
