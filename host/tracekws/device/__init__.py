# SPDX-License-Identifier: Apache-2.0
"""Devices on a serial line: protocol, driver, takes, and teaching one its user's voice."""
