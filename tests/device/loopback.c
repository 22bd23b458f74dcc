/* SPDX-License-Identifier: Apache-2.0 */
/* The application as a library: its size is all that the tests need beyond its own functions. */
#include "app.h"

size_t loopback_app_bytes(void);

size_t loopback_app_bytes(void)
{
    return sizeof(tkws_app);
}
