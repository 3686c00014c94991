"""Programs beside the training: where the time of a step goes, how a model bears changed images."""
