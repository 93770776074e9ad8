"""Non-preferred skeletons and sentences: perturbations, salience, the language perturber and the generator actor."""
