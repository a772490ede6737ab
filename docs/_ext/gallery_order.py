"""The order of the gallery: that of the loop."""

ORDER = [
    "four_estimators",
    "prior_strength",
    "audit_preferences",
    "how_many_labels",
    "reward_calibration",
    "split_by_prompt",
    "step_1_reinforce",
    "step_2_baseline",
    "step_3_price_of_the_kl",
    "step_4_epochs",
    "step_5_critic",
    "kl_reward_frontier",
    "ppo_in_sixty_lines",
    "distance_to_optimum",
    "sft_coef",
    "price_of_a_ban",
    "overoptimisation",
    "check_an_algorithm",
    "where_algorithms_rest",
    "grid_search",
]


class LoopOrder:
    """Sort key of example files; those that are not listed come last."""

    def __init__(self, src_dir):
        self.src_dir = src_dir

    def __repr__(self):
        return "<LoopOrder>"

    def __call__(self, filename):
        name = filename.removeprefix("plot_").removesuffix(".py")
        return (ORDER.index(name) if name in ORDER else len(ORDER), name)
