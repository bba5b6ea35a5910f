"""Every SAE architecture, imported for its entry in ``ARCHITECTURES``; nothing but imports.

The fingerprint of a job counts the architectures that it uses and not this module, so that a new
line here runs no other SAE again (``isoenergy.fingerprint``).
"""

import isoenergy.train.linear
import isoenergy.train.matching_pursuit
import isoenergy.train.orthogonal  # noqa: F401
