"""HU, lungs, obstacles and contrast: arrays in, arrays out."""

import cv2

# The stages run side by side, one core each; OpenCV's own threads would fight over them.
cv2.setNumThreads(1)
