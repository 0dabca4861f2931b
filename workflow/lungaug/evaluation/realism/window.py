"""The HU in which nodules are compared: from air to what contrast reaches in soft tissue."""

LOW_HU, HIGH_HU = -1000, 400
