# SPDX-License-Identifier: Apache-2.0
"""The lab: Traces Propagation as published (arXiv 2509.13053), beside its rivals, on their tasks.

Needs the extra `lab` (torch, tonic, scikit-learn); nothing of the rest of the package imports it.
"""
