"""Language models of counts: pretraining and fine-tuning."""
