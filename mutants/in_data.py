"""Faults in data, in what is told of them and of models, in folds, files and reports."""

from mutants.plant import faults_in as _in

FAULTS = [
    *_in(
        "_persistence/fitted_candidates.py",
        (
            "what an objective has computed may come from a file",
            "if set(vars(objective)) != set(names):",
            "if not set(vars(objective)) >= set(names):",
            "test_candidate_files.py::test_damaged_objectives_are_refused",
        ),
    ),
    *_in(
        "_data/designs.py",
        (
            "products of responses count once in squares of differences",
            "self._uses(pair_weights) - 2 * (products @",
            "self._uses(pair_weights) - (products @",
            "test_pairs.py::test_operator_on_unique_responses_is_the_difference_matrix",
        ),
        (
            "weights dropped from the squares of differences",
            "return uses + np.bincount(self.b, pair_weights, n_responses)",
            "return uses + np.bincount(self.b, minlength=n_responses)",
            "test_pairs.py::test_operator_on_unique_responses_is_the_difference_matrix",
        ),
        (
            "squares of bias columns are not squared",
            "pair_weights @ self.columns**2]",
            "pair_weights @ np.abs(self.columns)]",
            "test_reward_model_bias.py::test_designs_with_nuisances_are_their_matrix",
        ),
    ),
    *_in(
        "_data/text_pairs.py",
        (
            "lengths of pairs are B less A",
            "for texts in (self.responses_a, self.responses_b)]\n        return",
            "for texts in (self.responses_b, self.responses_a)]\n        return",
            "test_reward_model_bias.py::test_reward_is_free_of_length_when_only_length_is_preferred",
        ),
    ),
    *_in(
        "_data/vectorizers.py",
        (
            "a reward has the events of n-grams as features",
            "if not isinstance(counter, NGramCounter) or isinstance(counter, NGramFeatures):",
            "if True:",
            "test_ngram_features.py::test_weights_are_those_of_a_regression_on_occurrences",
        ),
    ),
    *_in(
        "_ngram_features.py",
        (
            "n-grams are not counted in longer ones",
            "events @ trie.cumulative",
            "events[:, : trie.n_arcs]",
            "test_ngram_features.py::test_features_are_the_occurrences_of_ngrams",
        ),
    ),
    *_in(
        "_data/records.py",
        (
            "every chosen response is A",
            "swap=n_chosen % 2 == 1",
            "swap=False",
            "test_records.py::test_chosen_takes_both_sides_in_turn",
        ),
    ),
    *_in(
        "_fast_counts/_rows.py",
        (
            "a row of counts begins a token late",
            "indptr[row + 1 : end_row + 1] = rows.indptr[1:]",
            "indptr[row + 1 : end_row + 1] = rows.indptr[:-1]",
            "test_fast_counts.py::TestEqualToDictRoute::test_any_text",
        ),
    ),
    *_in(
        "_pipeline/composition.py",
        (
            "the first policy answers",
            "in reversed(steps):",
            "in steps:",
            "test_pipeline.py::test_stages_repeat",
        ),
    ),
    *_in(
        "_pipeline/counting.py",
        (
            "texts are cached without their borders",
            "digest.update(np.fromiter(map(len, texts)",
            "len(np.fromiter(map(len, texts)",
            "test_pipeline_cache.py::test_texts_are_known_by_where_each_begins_too",
        ),
        (
            "documents that go on from prompts come first",
            "order = np.argsort(np.concatenate(rows))",
            "order = np.concatenate(rows)",
            "test_pipeline_ngrams.py::test_loop_equals_stages_by_hand",
        ),
        (
            "a cache does not know prompts",
            'return hash_texts([*texts, *(prompt or "" for prompt in prompts)])',
            "return hash_texts(texts)",
            "test_pipeline_ngrams.py::test_a_cache_knows_prompts",
        ),
    ),
    *_in(
        "_text/vocabulary.py",
        (
            "a token of exactly min_count is rare",
            "counted.totals >= min_count",
            "counted.totals > min_count",
            "test_token_columns.py::TestColumns::test_pruning_follows_its_definition",
        ),
        (
            "the rarest tokens are kept",
            "np.argsort(-counted.totals[kept]",
            "np.argsort(counted.totals[kept]",
            "test_token_columns.py::TestColumns::test_pruning_follows_its_definition",
        ),
    ),
    *_in(
        "health/_comparisons.py",
        (
            "a triple is counted twice",
            ".sum(axis=1)).ravel() / 6",
            ".sum(axis=1)).ravel() / 3",
            "test_health.py::test_circle",
        ),
    ),
    *_in(
        "health/_noise.py",
        (
            "flips hit one kind of label",
            "right = e + (1 - 2 * e) * expit",
            "right = e + (1 - e) * expit",
            "test_health_labels.py::test_wrong_labels_are_tested_by_the_likelihood_at_the_border_of_no_flips",
        ),
        (
            "both sides of a test at a border",
            "float(chi2.sf(ratio, 1) / 2)",
            "float(chi2.sf(ratio, 1))",
            "test_health_labels.py::test_wrong_labels_are_tested_by_the_likelihood_at_the_border_of_no_flips",
        ),
        (
            "groups may narrow the test of wrong labels",
            "max(float(grouped / independent), 1.0)",
            "float(grouped / independent)",
            "test_health_labels.py::test_groups_whose_labels_balance_make_no_test_surer",
        ),
    ),
    *_in(
        "health/_prompts.py",
        (
            "prompts of exactly half the wording are different",
            "alike = index >= SIMILARITY",
            "alike = index > SIMILARITY",
            "test_health.py::test_prompts_of_exactly_half_their_wording_are_similar",
        ),
        (
            "a sequence too few is compared",
            "n_prefix = sizes - np.ceil(SIMILARITY * sizes).astype(np.intp) + 1",
            "n_prefix = sizes - np.ceil(SIMILARITY * sizes).astype(np.intp)",
            "test_health.py::test_prompts_of_exactly_half_their_wording_are_similar",
        ),
    ),
    *_in(
        "health/_repeats.py",
        (
            "swapped repeats keep their label",
            "np.where(swapped, 1 - data.y, data.y)",
            "np.where(swapped, data.y, data.y)",
            "test_health.py::test_duplicates",
        ),
    ),
    *_in(
        "health/_responses.py",
        (
            "a limit of length of exactly three times is none",
            "at_limit.size >= PILE_RATIO * most",
            "at_limit.size > PILE_RATIO * most",
            "test_health.py::test_a_limit_holds_three_times_as_many_as_a_length_just_below",
        ),
    ),
    *_in(
        "inspection/_directions.py",
        (
            "weights dropped from slopes along directions",
            "return (weight * target) @ scores",
            "return target @ scores",
            "test_explain_weights.py::test_slopes_and_what_is_taken_off_by_hand",
        ),
        (
            "directions are those of pairs without their weights",
            "return weight * value, np.mean(weight * (1 - value**2), axis=-1)",
            "return value, np.mean(1 - value**2, axis=-1)",
            "test_explain_weights.py::test_directions_are_of_weighted_pairs",
        ),
        (
            "weights dropped from the sizes of words",
            "squares = weight @ words.multiply(words)",
            "squares = np.ones(len(weight)) @ words.multiply(words)",
            "test_explain_weights.py::test_correlation_of_a_word_by_hand",
        ),
    ),
    *_in(
        "inspection/_explained_share.py",
        (
            "weights of pairs squared in the regression of margins",
            "root = np.sqrt(mine)",
            "root = mine",
            "test_explain_weights.py::test_regression_minimises_weighted_squares",
        ),
    ),
    *_in(
        "inspection/_frontier.py",
        (
            "offset dropped from drawn rewards",
            "rollouts.sum_over_tokens(estimator.token_reward_) + _offset(estimator)",
            "rollouts.sum_over_tokens(estimator.token_reward_)",
            "test_inspection.py::test_best_of_n_is_of_documents_of_the_reference",
        ),
    ),
    *_in(
        "inspection/_learning_curve.py",
        (
            "shares of prompts round to none",
            "np.maximum(np.round(sizes * n_prompts), 1)",
            "np.round(sizes * n_prompts)",
            "test_learning_curve.py::test_shares_of_prompts_are_rounded_to_one_at_least",
        ),
    ),
    *_in(
        "inspection/_length.py",
        (
            "margins of the rejected response",
            "sign * margin[decided], sign * length[decided]",
            "margin[decided], sign * length[decided]",
            "test_inspection_rewards.py::test_length_bias_equals_accuracy_by_hand",
        ),
    ),
    *_in(
        "inspection/_rewards.py",
        (
            "equal rewards are no half in the accuracy",
            "np.mean(0.5 + 0.5 * np.sign(sides[0] - sides[1]))",
            "np.mean(sides[0] > sides[1])",
            "test_inspection_rewards.py::test_ties_have_no_chosen_response",
        ),
    ),
    *_in(
        "inspection/_tokens.py",
        (
            "what falls most is drawn as what rises",
            "order = np.argsort(-change, kind",
            "order = np.argsort(change, kind",
            "test_inspection.py::test_token_shift_equals_that_of_the_policy",
        ),
    ),
    *_in(
        "_layouts/verdicts.py",
        (
            "the greatest rank is the best",
            "Scores((one, two), -1.0 if stem[0] in RANKS else 1.0)",
            "Scores((one, two), 1.0)",
            "test_columns.py::test_scores_and_ranks_of_two_responses",
        ),
    ),
    *_in(
        "_layouts/tallies.py",
        (
            "votes for a tie are votes for the second",
            "(one + sum(ties) / 2) / total",
            "one / total",
            "test_columns.py::test_counts_of_votes_are_shares",
        ),
    ),
    *_in(
        "_layouts/known.py",
        (
            "strengths are turned",
            '{"preference_strength": "strength_second"}',
            '{"preference_strength": "strength"}',
            "test_layouts.py::test_strengths_are_weights",
        ),
    ),
    *_in(
        "_layouts/special.py",
        (
            "judgments of the first turn see all turns",
            "turns[: 2 * turn]",
            "turns",
            "test_layouts.py::test_judgments_of_a_turn_see_the_turns_up_to_it",
        ),
    ),
    *_in(
        "_layouts/prompts.py",
        (
            "a prompt that leaves the other is kept",
            "if not _holds(main, row.get(name)):",
            "if False:",
            "test_prompt_columns.py::test_a_prompt_that_leaves_the_other_in_one_row_is_refused",
        ),
    ),
    *_in(
        "model_selection/_scorers.py",
        (
            "perplexity, not likelihood, is the score",
            "return -float(np.log(loop.perplexity(completions)))",
            "return -float(loop.perplexity(completions))",
            "test_record_scorers.py::test_demonstration_scorer_is_the_likelihood_per_token",
        ),
    ),
    *_in(
        "_pipeline/fitting.py",
        (
            "candidates are no part of what a cache knows them by",
            "records.weight, candidates)",
            "records.weight)",
            "test_pipeline_candidates.py::test_memory_fits_again_only_what_depends_on_a_change",
        ),
    ),
    *_in(
        "_pipeline/choices.py",
        (
            "log-probabilities of records are not the reference",
            '"reference_log_prob": rows.reference_log_prob}',
            '"reference_log_prob": None}',
            "test_pipeline_candidates.py::test_the_reference_comes_from_the_records",
        ),
    ),
    *_in(
        "model_selection/_splitters.py",
        (
            "all groups may be tests",
            "total[kind] - 1 - taken[kind]",
            "total[kind] - taken[kind]",
            "test_model_selection.py::test_train_test_split_keeps_kinds_and_prompts",
        ),
        (
            "small groups are dealt first",
            "np.argsort(-size[groups], kind",
            "np.argsort(size[groups], kind",
            "test_model_selection.py::test_larger_prompts_go_to_smaller_folds",
        ),
    ),
    *_in(
        "report/_audit_policy.py",
        (
            "half the pairs with the C of all",
            "PreferenceRewardModel(C=2 * C, tol=TOL), data",
            "PreferenceRewardModel(C=C, tol=TOL), data",
            "test_audit_figures.py::test_half_the_pairs_have_twice_the_c",
        ),
        (
            "a first best KL, not the last",
            "np.abs(gain).max())[-1])",
            "np.abs(gain).max())[0])",
            "test_audit_figures.py::test_the_last_of_equal_gains_is_taken",
        ),
        (
            "the end of a document is as likely as all its tokens",
            "stop = 1.0 / (1.0 + length)",
            "stop = 1.0 / length",
            "test_audit_figures.py::test_safe_kl_coef_of_documents_of_three_tokens_and_an_end",
        ),
    ),
    *_in(
        "report/_audit_predict.py",
        (
            "folds dropped from the interval of the area",
            "value + np.sqrt(CROSS_FITTED) * (",
            "value + (",
            "test_audit_figures.py::test_area_has_the_interval_of_resampled_prompts_root_two_times_as_wide",
        ),
        (
            "groups dropped from the errors of a calibration",
            "np.sqrt(n_groups / max(n_groups - 1, 1) * (sums @ sums))",
            "np.sqrt(sums @ sums)",
            "test_audit_figures.py::test_errors_of_a_calibration_by_three_groups",
        ),
        (
            "three halves dropped from the variance of draws",
            "1.5 * float(np.mean(",
            "float(np.mean(",
            "test_audit_figures.py::test_variance_of_draws_by_hand",
        ),
        (
            "mean absolute chance without its constant",
            "chance * np.sqrt(2 / np.pi))",
            "chance)",
            "test_audit_figures.py::test_error_of_a_calibration_by_chance",
        ),
    ),
    *_in(
        "report/_audit_verdicts.py",
        (
            "the stronger of two tests is the evidence",
            "name, weaker = max(",
            "name, weaker = min(",
            "test_audit_figures.py::test_the_weaker_of_two_kinds_of_pairs_is_the_evidence",
        ),
        (
            "a gain that could be worth it is flat",
            'elif max(test["high"], _gain_foreseen(curve)) < WORTH:',
            'elif test["low"] < WORTH:',
            "test_audit_verdicts.py::test_rule_of_the_learning_curve",
        ),
        (
            "slopes too flat are called too careful",
            '    elif test.is_below:\n        verdict = "too sure"',
            '    elif test.is_above:\n        verdict = "too sure"',
            "test_audit_figures.py::test_a_model_is_too_sure_where_its_slope_is_below_one",
        ),
    ),
]
