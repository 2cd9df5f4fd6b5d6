"""What the checks must know for themselves, whatever mistake is planted in the product."""

from scoord.claimant import Claimant

excludes = Claimant.excludes
"""The rule as it was before any mistake: a check that asked the product would go blind with it."""
