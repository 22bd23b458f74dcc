/* SPDX-License-Identifier: Apache-2.0 */
/* The virtual board's line as a library: its state is the caller's memory. */
#include "virtual/link.h"

size_t virtual_line_bytes(void);
const char *virtual_line_url(const link_state *link);

size_t virtual_line_bytes(void)
{
    return sizeof(link_state);
}

const char *virtual_line_url(const link_state *link)
{
    return link->url;
}
