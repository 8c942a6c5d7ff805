"""Frozen records that the stages hand on to each other. They check themselves when they are made."""
