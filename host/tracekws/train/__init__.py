# SPDX-License-Identifier: Apache-2.0
"""Training in torch; the rest of the package does without it."""
