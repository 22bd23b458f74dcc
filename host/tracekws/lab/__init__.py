# SPDX-License-Identifier: Apache-2.0
"""The lab: Traces Propagation as published, beside its rivals, in float, one file a rule."""
