/* SPDX-License-Identifier: Apache-2.0 */
/* The application as a library: sizes are all that the tests need beyond its own functions. */
#include "alone.h"

size_t loopback_app_bytes(void);
size_t loopback_alone_bytes(void);

size_t loopback_app_bytes(void)
{
    return sizeof(tkws_app);
}

size_t loopback_alone_bytes(void)
{
    return sizeof(tkws_app_alone);
}
