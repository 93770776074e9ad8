"""What each piece of the method is worth, measured on the policies of a finished run."""
