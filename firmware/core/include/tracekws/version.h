/* SPDX-License-Identifier: Apache-2.0 */
/** @file version.h  Version of the firmware; the Python package reads its own from here. */
#ifndef TRACEKWS_VERSION_H
#define TRACEKWS_VERSION_H

#define TKWS_VERSION_MAJOR 0
#define TKWS_VERSION_MINOR 1
#define TKWS_VERSION_PATCH 0

#endif
