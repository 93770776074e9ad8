"""What a clip is: the 69-joint layout, the clip itself, normalisation and drawing."""
