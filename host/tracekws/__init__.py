# SPDX-License-Identifier: Apache-2.0
"""Keyword spotting that learns its user's voice on the microcontroller."""
