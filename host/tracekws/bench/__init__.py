# SPDX-License-Identifier: Apache-2.0
"""Measuring: accuracy over clips, streams, adapting to speakers, cost; and what is shown of it."""
