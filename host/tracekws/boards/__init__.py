# SPDX-License-Identifier: Apache-2.0
"""Boards that a host builds firmware for, runs without hardware, and flashes; a row each."""
