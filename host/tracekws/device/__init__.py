# SPDX-License-Identifier: Apache-2.0
"""Devices on a serial line: protocol, driver, the virtual board, and the commands that use them."""
