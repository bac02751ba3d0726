"""The public names of fastai 2.8 by module, and what each is here: the same (not said), different, or absent with what to write instead.

`minifast.compat.modules` serves its module paths from this table, `minifast port` and docs/from_fastai.md read it.
"""
import re

#: The modules of fastai 2.8 and the public names that each defines. `all` modules and packages define none: they have what is below them.
MODULES: dict[str, str] = {
    "basics": "",
    "callback": "",
    "callback.all": "",
    "callback.azureml": "AzureMLCallback",
    "callback.captum": "CaptumInterpretation",
    "callback.channelslast": "ChannelsLast",
    "callback.comet": "CometCallback",
    "callback.core": """
        Callback CancelBackwardException CancelBatchException CancelEpochException CancelFitException CancelStepException
        CancelTrainException CancelValidException FetchPredsCallback GatherPredsCallback TrainEvalCallback event""",
    "callback.data": "CollectDataCallback PartialDL WeightedDL",
    "callback.fp16": """
        AMPMode MixedPrecision ModelToHalf NonNativeMixedPrecision copy_clone get_master grad_overflow test_overflow to_master_grads
        to_model_params""",
    "callback.hook": """
        ActivationStats Hook HookCallback Hooks dummy_eval has_params hook_output hook_outputs layer_info model_sizes module_summary
        num_features_model total_params""",
    "callback.mixup": "CutMix MixHandler MixUp reduce_loss",
    "callback.preds": "MCDropoutCallback",
    "callback.progress": "CSVLogger ProgressCallback ShowGraphCallback",
    "callback.rnn": "ModelResetter RNNCallback RNNRegularizer rnn_cbs",
    "callback.schedule": """
        LRFinder ParamScheduler SchedCos SchedExp SchedLin SchedNo SchedPoly SuggestionMethod annealer combine_scheds combined_cos
        minimum sched_cos sched_exp sched_lin sched_no slide steep valley""",
    "callback.tensorboard": """
        TensorBoardBaseCallback TensorBoardCallback TensorBoardProjectorCallback projector_word_embeddings tensorboard_log""",
    "callback.tracker": "EarlyStoppingCallback ReduceLROnPlateau SaveModelCallback TerminateOnNaNCallback TrackerCallback",
    "callback.training": "BnFreeze GradientAccumulation GradientClip ShortEpochCallback bn_types set_bn_eval",
    "callback.wandb": "WandbCallback log_dataset log_model wandb_process",
    "collab": "CollabDataLoaders EmbeddingDotBias EmbeddingNN TabularCollab collab_learner",
    "data": "",
    "data.all": "",
    "data.block": "CategoryBlock DataBlock MultiCategoryBlock RegressionBlock TransformBlock",
    "data.core": """
        DataLoaders Datasets FilteredBase TfmdDL TfmdLists decode_at get_show_batch_func show_at show_batch show_results test_set""",
    "data.download_checks": "",
    "data.external": "URLs fastai_cfg fastai_path nb_urls prefetch_data untar_data",
    "data.load": "DataLoader SkipItemException collate_error fa_collate fa_convert",
    "data.transforms": """
        AttrGetter Categorize Category CategoryMap ColReader ColSplitter EncodedMultiCategorize EndSplitter FileGetter FileSplitter
        FuncSplitter GrandparentSplitter ImageGetter IndexSplitter IntToFloatTensor ItemGetter MaskSplitter MultiCategorize
        MultiCategory Normalize OneHotEncode RandomSplitter RandomSubsetSplitter RegexLabeller RegressionSetup ToTensor
        TrainTestSplitter broadcast_vec get_c get_files get_image_files get_text_files image_extensions parent_label""",
    "distributed": "DistributedDL DistributedTrainer ParallelTrainer rank0_first setup_distrib teardown_distrib",
    "fp16_utils": """
        BN_convert_float FP16Model backwards_debug_hook convert_module convert_network master_params_to_model_params
        model_grads_to_master_grads network_to_half prep_param_lists to_python_float tofp16""",
    "imports": "all_equal equals is_coll is_iter noop noops one_is_instance pv",
    "interpret": "ClassificationInterpretation Interpretation SegmentationInterpretation plot_top_losses",
    "layers": """
        AdaptiveAvgPool AdaptiveConcatPool1d AdaptiveConcatPool2d AvgPool BatchNorm BatchNorm1dFlat Cat ConvLayer Debugger Embedding
        Flatten Identity InstanceNorm Lambda LinBnDrop MaxPool MergeLayer Mish MishJit MishJitAutoFn NoneReduce NormType ParameterModule
        PartialLambda PixelShuffle_ICNR PoolFlatten PoolType PooledSelfAttention2d ProdLayer ResBlock ResizeBatch SEBlock SEModule
        SEResNeXtBlock SelfAttention SeparableBlock SequentialEx SigmoidRange SimpleCNN SimpleSelfAttention Swish SwishJit
        TimeDistributed ToTensorBase View adaptive_pool children_and_parameters flatten_model has_children icnr_init in_channels
        init_default init_linear inplace_relu mish module sequential sigmoid sigmoid_ sigmoid_range swish trunc_normal_ vleaky_relu""",
    "learner": """
        AvgLoss AvgMetric AvgSmoothLoss CancelBackwardException CancelBatchException CancelEpochException CancelFitException
        CancelStepException CancelTrainException CancelValidException CastToTensor Learner Metric Recorder SkipToEpoch ValueMetric
        before_batch_cb load_learner load_model mk_metric replacing_yield save_model""",
    "losses": """
        BCELossFlat BCEWithLogitsLossFlat BaseLoss CrossEntropyLossFlat DiceLoss FocalLoss FocalLossFlat L1LossFlat
        LabelSmoothingCrossEntropy LabelSmoothingCrossEntropyFlat MSELossFlat""",
    "medical": "",
    "medical.imaging": """
        DcmDataset DcmMultiValue DcmTag DicomSegmentationDataLoaders PILCTScan PILDicom TensorCTScan TensorDicom array_freqhist_bins
        crop_resize dcmread dicom_windows gauss_blur2d get_dicom_files mask2bbox uniform_blur2d""",
    "medical.text": "",
    "metrics": """
        APScoreBinary APScoreMulti AccumMetric BalancedAccuracy BrierScore BrierScoreMulti CohenKappa CorpusBLEUMetric Dice DiceMulti
        ExplainedVariance F1Score F1ScoreMulti FBeta FBetaMulti HammingLoss HammingLossMulti Jaccard JaccardCoeff JaccardCoeffMulti
        JaccardMulti LossMetric LossMetrics MatthewsCorrCoef MatthewsCorrCoefMulti PearsonCorrCoef Perplexity Precision PrecisionMulti
        R2Score Recall RecallMulti RocAuc RocAucBinary RocAucMulti SpearmanCorrCoef accuracy accuracy_multi error_rate exp_rmspe
        foreground_acc mae mse msle optim_metric perplexity rmse skm_to_fastai top_k_accuracy""",
    "optimizer": """
        Adam Lamb Larc Lookahead OptimWrapper Optimizer QHAdam RAdam RMSProp SGD adam_step average_grad average_sqr_grad debias
        detuplify_pg l2_reg lamb_step larc_layer_lr larc_step momentum_step pytorch_hp_map qhadam_step radam_step ranger rms_prop_step
        set_item_pg sgd_step step_stat weight_decay""",
    "tabular": "",
    "tabular.all": "",
    "tabular.core": """
        Categorify FillMissing FillStrategy ReadTabBatch TabDataLoader TabWeightedDL Tabular TabularPandas TabularProc add_datepart
        add_elapsed_times cont_cat_split df_shrink df_shrink_dtypes make_date show_batch""",
    "tabular.data": "TabularDataLoaders",
    "tabular.learner": "TabularLearner show_results tabular_learner",
    "tabular.model": "TabularModel emb_sz_rule get_emb_sz tabular_config",
    "text": "",
    "text.all": "",
    "text.core": """
        BOS BaseTokenizer EOS FLD PAD SentencePieceTokenizer SpacyTokenizer SubwordTokenizer TK_MAJ TK_REP TK_UP TK_WREP
        TokenizeWithRules Tokenizer UNK WordTokenizer eu_langs fix_html fn_counter_pkl fn_lengths_pkl load_tokenized_csv lowercase
        parallel_tokenize replace_all_caps replace_maj replace_rep replace_space replace_wrep rm_useless_spaces spec_add_spaces
        tokenize1 tokenize_csv tokenize_df tokenize_files tokenize_folder tokenize_texts""",
    "text.data": """
        LMDataLoader LMTensorText Numericalize Pad_Chunk Pad_Input SortedDL TensorText TextBlock TextDataLoaders make_vocab pad_chunk
        pad_input pad_input_chunk reverse_text show_batch""",
    "text.learner": """
        LMLearner TextLearner clean_raw_keys decode_spec_tokens language_model_learner load_ignore_keys load_model_text match_embeds
        plot_top_losses show_results text_classifier_learner""",
    "text.models": "",
    "text.models.awdlstm": """
        AWD_LSTM EmbeddingDropout RNNDropout WeightDropout awd_lstm_clas_config awd_lstm_clas_split awd_lstm_lm_config awd_lstm_lm_split
        dropout_mask""",
    "text.models.core": """
        LinearDecoder PoolingLinearClassifier SentenceEncoder SequentialRNN get_language_model get_text_classifier masked_concat_pool""",
    "torch_basics": "",
    "torch_core": """
        ArrayBase ArrayImage ArrayImageBW ArrayImageBase ArrayMask Chunks Module ShowTitle TensorBase TensorCategory TensorFlowField
        TensorImage TensorImageBW TensorImageBase TensorMask TensorMultiCategory TitledFloat TitledInt TitledStr TitledTensorScalar
        TitledTuple apply apply_init apply_leaf base_doc batch_to_samples concat cond_init default_device display_df distrib_barrier doc
        find_bs find_device flatten_check get_empty_df get_first get_model get_random_states grad_module init_default ismin_torch
        item_find logit make_cross_image master_bar maybe_gather nested_reorder no_random norm_bias_params norm_types notmax_torch
        np_func num_distrib one_hot one_hot_decode one_param params progress_bar rank_distrib requires_grad script_bwd script_fwd
        script_save_ctx script_use_ctx set_random_states set_seed setup_cuda show_image show_image_batch show_images show_title
        show_titled_image subplots tensor to_concat to_cpu to_detach to_device to_float to_half to_np trainable_params unsqueeze
        unsqueeze_""",
    "torch_imports": "",
    "vision": "",
    "vision.all": "",
    "vision.augment": """
        AffineCoordTfm Brightness Contrast CropPad DeterministicDihedral DeterministicDraw DeterministicFlip Dihedral DihedralItem Flip
        FlipItem HSVTfm Hue LightingTfm OldRandomCrop PadMode RandTransform RandomCrop RandomErasing RandomResizedCrop
        RandomResizedCropGPU RatioResize Resize ResizeMethod Rotate Saturation SpaceTfm TensorTypes Warp Zoom affine_grid affine_mat
        apply_perspective aug_transforms cutout_gaussian dihedral_mat find_coeffs flip_mat grayscale hsv2rgb mask_tensor
        norm_apply_denorm rgb2hsv rotate_mat setup_aug_tfms zoom_mat""",
    "vision.core": """
        AddMaskCodes BBoxLabeler BILINEAR Image LabeledBBox NEAREST OpenMask PILBase PILImage PILImageBW PILMask PointScaler TensorBBox
        TensorPoint TensorPointCreate ToTensor cifar_stats decodes encodes get_annotations image2tensor imagenet_stats load_image
        mnist_stats to_image""",
    "vision.data": """
        BBoxBlock BBoxLblBlock ImageBlock ImageDataLoaders MaskBlock PointBlock SegmentationDataLoaders bb_pad clip_remove_empty
        get_grid show_batch""",
    "vision.gan": """
        AdaptiveGANSwitcher AdaptiveLoss AddChannels DenseResBlock FixedGANSwitcher GANDiscriminativeLR GANLearner GANLoss GANModule
        GANTrainer InvisibleTensor accuracy_thresh_expand basic_critic basic_generator gan_critic gan_loss_from_func generate_noise
        set_freeze_model show_batch show_results""",
    "vision.learner": """
        TimmBody add_head cnn_learner create_body create_cnn_model create_head create_timm_model create_unet_model create_vision_model
        cut_model default_split has_pool_type model_meta plot_top_losses show_results unet_learner vision_learner""",
    "vision.models": "",
    "vision.models.all": "",
    "vision.models.tvm": "",
    "vision.models.unet": "DynamicUnet ResizeToOrig UnetBlock",
    "vision.models.xresnet": """
        XResNet g0 g1 g2 g3 init_cnn se_kwargs1 se_kwargs2 se_kwargs3 xresnet101 xresnet152 xresnet18 xresnet18_deep xresnet18_deeper
        xresnet34 xresnet34_deep xresnet34_deeper xresnet50 xresnet50_deep xresnet50_deeper xresnext101 xresnext18 xresnext34 xresnext50
        xse_resnet101 xse_resnet152 xse_resnet18 xse_resnet34 xse_resnet50 xse_resnext101 xse_resnext18 xse_resnext18_deep
        xse_resnext18_deeper xse_resnext34 xse_resnext34_deep xse_resnext34_deeper xse_resnext50 xse_resnext50_deep xse_resnext50_deeper
        xsenet154""",
    "vision.utils": """
        download_images resize_image resize_images resize_to search_images_bing search_images_serpapi verify_image verify_images""",
    "vision.widgets": """
        Box Button Checkbox Dropdown FileUpload HBox ImageClassifierCleaner ImagesCleaner Label Layout Output VBox carousel widget
        widgets""",
}

#: Names of fastcore that a star import of fastai brings along, those of its errors (`HTTP404NotFoundError`) aside.
FASTCORE = """
    A Article Aside AttrDict AttrDictDefault Audio AutoInit B BasicRepr Body Br BuiltinMethodType BypassNewMeta CachedAwaitable CachedIter
    Canvas Caption CliError Code Col Colgroup CollBase Config ContextManagers Dd Debounce DepProp Details Div Dl DocmentList DocmentTbl
    DocmentText Dt E Em Embed EventTimer ExceptionExpected ExceptionsHTTP FT Fieldset Figcaption Figure FixSigMeta Float Footer Form
    FullString GetAttr GetAttrBase H1 H2 H3 H4 H5 H6 Head Header Hr Html I IN_COLAB IN_IPYTHON IN_JUPYTER IN_NOTEBOOK Iframe Img ImportEnum
    Inf Input Int IterLen L Legend Li Link Main Mark MarkdownRenderer Math Meta MethodDescriptorType MethodWrapperType NS Nav NewChkMeta
    NoneType Noscript NotStr NullType Object Ol OpGroup Option P Param PartialFormatter Pre PrePostInitMeta PrettyString ProcessPoolExecutor
    ReindexCollection S Safe SaveReturn Script Section Select Self ShowDocRenderer ShowPrint Slot Small Span Stateful Str StrEnum Strike
    Strong Style Sub Summary Sup Svg Tbody Td Template Textarea Tfoot Th Thead ThreadPoolExecutor Title Tr TruncatedString U UNSET Ul Unset
    ValEnum Video WrapperDescriptorType XML acache add add_docs add_props adict ann_parts anno2str anno_dict anno_parser anno_ret
    annotations any_is_instance arg0 arg1 arg2 arg3 arg4 argnames args_from_prog argwhere array_equal asave_iter asdict athreaded
    atomic_save attrdict attrmap autostart basic_repr bg_task bind bool_arg bunzip call_parse camel2snake camel2words can_render cast
    chunked class2attr clean_cli_output coll_repr compile_re compose console_help copy_func ctx_sync curryable custom_dir cycle
    dataclass_src delegate_attr delegated delegates detect_mime detuplify df_equal dict2obj dict2xml disable_async_magics docments docs
    docstring dstar dumps empty2none enable_async_magics eq eval_type even_mults exception exec_eval exec_import exec_local exec_new
    expand_wildcards expect_fail extend_enum extract_docstrings exttypes fail_clean fastuple fdelegates fenced fenced_blocks filter_dict
    filter_ex filter_keys filter_values find_file_parents first first_match flatmap flatten flexicache flexiclass free_port friendly_name
    frontmatter ft full_docs funcs_kwargs ge gen get_annotations_ex get_class get_dataclass_source get_name get_source get_source_link
    getattrs getcallable globtastic groupby gt hasattrs highlight hl_md http_response humanize id_words ifnone ignore_exceptions image_size
    img_bytes import_no_init in_ in_colab in_ipython in_jupyter in_notebook init_args instantiate inum_methods ipython_shell is_ is_array
    is_async_callable is_bool is_cli is_close is_indexer is_listy is_namedtuple is_not is_port_free is_typeddict is_usable_tool isdataclass
    isinstance_str iter_sync join_path_file joins kindsort last last_index last_match le linesplitter listify llmtool load_mod load_pickle
    loads loads_multi local2utc loop_first loop_first_last loop_last lt make_nullable map_ex mapa mapped maps mapt mask2idxs maybe_aiter
    maybe_attr maybe_await maybe_open merge metadec method mk_class mk_doc mk_getattr mk_groups mk_sig mkdir mod modified_env
    modify_exception mtime_policy mul n_friendly_names ne negate nequals nested_attr nested_callable nested_idx nested_setdefault noopa not_
    null nullable_dc num_cpus num_methods obj2dict only open_file otherwise parallel parallel_async parallel_async_dict parallel_async_gen
    parallelable parse_cli parse_docstring parse_env partial partial_format partialler partition partition_dict patch patch_to pglob product
    properties qual_name range_of read_config_file reawaitable recv_once remove_prefix remove_suffix renumerate replicate repo_details
    repr_dict req ret_false ret_true revive_dates risinstance rnum_methods round_multiple rstar rsync_multi rtoken_hex run_sync
    sanitize_param_name sanitized_params save_config_file save_iter save_pickle set_ctx set_nested_idx set_num_threads setattrs setify shell
    showtags shufflish sig2str sig_source sig_with_params signature_ex snake snake2camel sorted_ex spark_chars sparkline splice_sig splitter
    ssh star start_client start_server startproc startthread stop store_attr store_false store_true str2bool str2date str2dt str2float
    str2int str2list str_diff str_enum strcat string_classes stringfmt_names strloader strtyps sub take_lines test test_close test_eq
    test_eq_type test_fail test_fig_exists test_is test_ne test_shuffled test_sig test_stdout test_warns then threaded time_policy
    timed_cache to_aiter to_bool to_camel to_date to_int to_kebab to_list to_pascal to_snake to_xml tobytes tonull trace trim_wraps true
    truediv trunc_ctr truncstr try_attrs tuplify type2str type_hints type_map typed union2tuple uniqueify unqid untar_dir
    url_default_headers urlclean urldest urljson urlopen urlopener urlquote urlread urlretrieve urlsave urlvalid urlwrap use_kwargs
    use_kwargs_dict using_attr utc2local val2idx valmap vars_pub ver2tuple voids wait_port_free wait_port_free_async wait_until waitfor
    waitfor_async walk walk_join with_cast working_directory wrap_class xdumps zip_cycle
"""

#: torchvision's networks, their weights and classes.
TORCHVISION = """
    AlexNet AlexNet_Weights ConvNeXt ConvNeXt_Base_Weights ConvNeXt_Large_Weights ConvNeXt_Small_Weights ConvNeXt_Tiny_Weights DenseNet
    DenseNet121_Weights DenseNet161_Weights DenseNet169_Weights DenseNet201_Weights EfficientNet EfficientNet_B0_Weights
    EfficientNet_B1_Weights EfficientNet_B2_Weights EfficientNet_B3_Weights EfficientNet_B4_Weights EfficientNet_B5_Weights
    EfficientNet_B6_Weights EfficientNet_B7_Weights EfficientNet_V2_L_Weights EfficientNet_V2_M_Weights EfficientNet_V2_S_Weights
    GoogLeNet GoogLeNetOutputs GoogLeNet_Weights Inception3 InceptionOutputs Inception_V3_Weights MNASNet MNASNet0_5_Weights
    MNASNet0_75_Weights MNASNet1_0_Weights MNASNet1_3_Weights MaxVit MaxVit_T_Weights MobileNetV2 MobileNetV3 MobileNet_V2_Weights
    MobileNet_V3_Large_Weights MobileNet_V3_Small_Weights RegNet RegNet_X_16GF_Weights RegNet_X_1_6GF_Weights RegNet_X_32GF_Weights
    RegNet_X_3_2GF_Weights RegNet_X_400MF_Weights RegNet_X_800MF_Weights RegNet_X_8GF_Weights RegNet_Y_128GF_Weights
    RegNet_Y_16GF_Weights RegNet_Y_1_6GF_Weights RegNet_Y_32GF_Weights RegNet_Y_3_2GF_Weights RegNet_Y_400MF_Weights
    RegNet_Y_800MF_Weights RegNet_Y_8GF_Weights ResNeXt101_32X8D_Weights ResNeXt101_64X4D_Weights ResNeXt50_32X4D_Weights ResNet
    ResNet101_Weights ResNet152_Weights ResNet18_Weights ResNet34_Weights ResNet50_Weights ShuffleNetV2 ShuffleNet_V2_X0_5_Weights
    ShuffleNet_V2_X1_0_Weights ShuffleNet_V2_X1_5_Weights ShuffleNet_V2_X2_0_Weights SqueezeNet SqueezeNet1_0_Weights
    SqueezeNet1_1_Weights SwinTransformer Swin_B_Weights Swin_S_Weights Swin_T_Weights Swin_V2_B_Weights Swin_V2_S_Weights
    Swin_V2_T_Weights VGG VGG11_BN_Weights VGG11_Weights VGG13_BN_Weights VGG13_Weights VGG16_BN_Weights VGG16_Weights VGG19_BN_Weights
    VGG19_Weights ViT_B_16_Weights ViT_B_32_Weights ViT_H_14_Weights ViT_L_16_Weights ViT_L_32_Weights VisionTransformer
    Wide_ResNet101_2_Weights Wide_ResNet50_2_Weights alexnet convnext_base convnext_large convnext_small convnext_tiny densenet121
    densenet161 densenet169 densenet201 efficientnet_b0 efficientnet_b1 efficientnet_b2 efficientnet_b3 efficientnet_b4 efficientnet_b5
    efficientnet_b6 efficientnet_b7 efficientnet_v2_l efficientnet_v2_m efficientnet_v2_s googlenet inception_v3 maxvit_t mnasnet0_5
    mnasnet0_75 mnasnet1_0 mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_16gf regnet_x_1_6gf regnet_x_32gf
    regnet_x_3_2gf regnet_x_400mf regnet_x_800mf regnet_x_8gf regnet_y_128gf regnet_y_16gf regnet_y_1_6gf regnet_y_32gf regnet_y_3_2gf
    regnet_y_400mf regnet_y_800mf regnet_y_8gf resnet101 resnet152 resnet18 resnet34 resnet50 resnext101_32x8d resnext101_64x4d
    resnext50_32x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 swin_b
    swin_s swin_t swin_v2_b swin_v2_s swin_v2_t vgg11 vgg11_bn vgg13 vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32 vit_h_14
    vit_l_16 vit_l_32 wide_resnet101_2 wide_resnet50_2
"""

#: Names of ipywidgets that `vision.widgets` has.
WIDGETS = "Box Button Checkbox Dropdown FileUpload HBox Label Layout Output VBox widgets"

#: What fastai has and minifast has not, with what to write instead: (sentence, names).
_ABSENT = (
    # callbacks and the loop
    ("write `learn.fit(n_epoch, start_epoch=k)`, which starts at epoch `k`", "SkipToEpoch"),
    ("`learn.get_preds(with_input=True, with_loss=True)` returns the inputs, predictions, targets and losses of a whole pass",
     "FetchPredsCallback GatherPredsCallback"),
    ("mixed precision is torch's: write `learn.to_fp16()`, `learn.to_bf16()` or `cbs=MixedPrecision()`",
     "AMPMode ModelToHalf NonNativeMixedPrecision copy_clone get_master grad_overflow test_overflow to_master_grads to_model_params "
     + MODULES["fp16_utils"]),
    ("a schedule is an object: `SchedCos(start, end)(pos)`, and likewise `SchedLin`, `SchedExp`, `SchedNo` and `SchedPoly`; any function "
     "of `pos` will do", "annealer sched_cos sched_exp sched_lin sched_no"),
    ("write `cbs=BnFreeze()`, or `Learner(..., train_bn=False)` for the norm layers of frozen groups", "set_bn_eval"),
    ("write `(nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)`", "bn_types"),
    ("the model gets plain tensors, so nothing has to be cast: leave it out", "CastToTensor"),
    ("write `with unittest.mock.patch.object(o, 'name', value):`", "replacing_yield"),
    ("`MixUp`, `CutMix` and `CutMixUp` blend the losses themselves; for your own loss see `MixHandler`", "reduce_loss"),
    ("captum takes `learn.model` itself; `plot_grad_cam` of `minifast.interpret` draws heat maps", "CaptumInterpretation"),
    ("write a `Callback` with `order = 60` whose `after_epoch` calls the service: `self.recorder.values[-1]` then has the values of "
     "the epoch",
     "AzureMLCallback CometCallback"),
    ("`WandbCallback` opens a run and logs to it; for files write `wandb.log_artifact(path)`", "log_dataset log_model wandb_process"),
    ("`TensorBoardCallback` logs losses, metrics and images; for embeddings write `SummaryWriter().add_embedding(weights, labels)` "
     "with `SummaryWriter` of torch.utils.tensorboard",
     "TensorBoardBaseCallback TensorBoardProjectorCallback projector_word_embeddings tensorboard_log"),
    # saving
    ("write `learn.save('name')` and `learn.load('name')`; `learn.load('name.pth')` also reads fastai's files and plain weights",
     "save_model load_model"),
    # data
    ("each element of a sample belongs to a block, and nothing is dispatched on types: give the class of your items a method `show`",
     "get_show_batch_func show_batch show_results decodes encodes"),
    ("write a subclass of `Datasets` or `TfmdLists`", "FilteredBase"),
    ("`BBoxLblBlock` has the labels of boxes: write `DataBlock((ImageBlock, BBoxBlock, BBoxLblBlock), n_inp=1, ...)`",
     "BBoxLabeler"),
    ("the folder of downloads is `URLs.path()`; the environment variable MINIFAST_HOME sets it",
     "fastai_cfg fastai_path nb_urls prefetch_data"),
    ("write `on_error='skip'` where the loaders are made: another item of the batch takes the place of one that fails",
     "SkipItemException"),
    ("write `DataLoader(collate_fn=...)` for your own collation, or `before_batch=` to change the samples before it",
     "collate_error fa_collate fa_convert"),
    ("`Normalize.from_stats(mean, std)` reshapes the statistics itself", "broadcast_vec"),
    ("write `dls.c`", "get_c"),
    ("a transform is a `Transform`, or any function, in `item_tfms` or `batch_tfms`; nothing is dispatched on types",
     "DisplayedTransform Func InplaceTransform Sig compose_tfms default_set_meta explode_types gather_attr_names gather_attrs get_func "
     "mk_transform retain_meta retain_type retain_types dispatch"),
    ("`MaskBlock` and `PointBlock` open files and points themselves; in a pipeline of your own write `PILMask.create` or "
     "`TensorPoint.create`", "OpenMask TensorPointCreate"),
    # tables
    ("`TabDataLoader` makes batches of whole columns: leave it out", "ReadTabBatch"),
    ("the class of a processed table is `TabularPandas`", "Tabular"),
    # layers, models, optimizers
    ("write `nn.Mish()` or `nn.SiLU()`", "MishJit MishJitAutoFn SwishJit"),
    ("the model gets plain tensors: leave it out", "ToTensorBase"),
    ("write `breakpoint()` in the `forward` of a module", "Debugger"),
    ("write `bn(x.flatten(0, -2)).view_as(x)` with `bn = nn.BatchNorm1d(x.shape[-1])`", "BatchNorm1dFlat"),
    ("write a class on `Module`, which needs no `super().__init__()`", "module"),
    ("write `AdaptiveConcatPool2d()`, `nn.AdaptiveAvgPool2d(1)` or `nn.AdaptiveMaxPool2d(1)`", "PoolType adaptive_pool"),
    ("hyper-parameters are in `opt.param_groups`; `set_hyper(opt, name, value)` and `get_hyper(opt, name)` of `minifast.optim` take "
     "fastai's names of them", "detuplify_pg set_item_pg pytorch_hp_map"),
    ("`create_body(arch, cut=...)` makes the body of a network of torchvision or timm", "create_timm_model cut_model"),
    ("`DynamicUnet` resizes its last maps itself", "ResizeToOrig"),
    ("write `apply_init(model)`", "init_cnn"),
    ("write the arguments out: `XResNet(ResBlock, 1, [2, 2, 2, 2])`", "g0 g1 g2 g3 se_kwargs1 se_kwargs2 se_kwargs3"),
    ("write `NORM_TYPES` of `minifast.optim`", "norm_types"),
    # images
    ("augmentations of a batch run as one fused pass: subclass `RandTransform` and override `draw` and `encodes`, or put a transform of "
     "torchvision.transforms.v2 into `batch_tfms`",
     "AffineCoordTfm DeterministicDihedral DeterministicDraw DeterministicFlip HSVTfm LightingTfm SpaceTfm affine_grid affine_mat "
     "apply_perspective cutout_gaussian dihedral_mat find_coeffs flip_mat mask_tensor norm_apply_denorm rotate_mat zoom_mat"),
    ("write `rgb_to_grayscale` of `torchvision.transforms.v2.functional`", "grayscale"),
    ("write `Hue(...)` and `Saturation(...)`; for arrays whose last axis is that of the channels matplotlib.colors has "
     "`rgb_to_hsv` and `hsv_to_rgb`", "hsv2rgb rgb2hsv"),
    ("write `RandomCrop`", "OldRandomCrop"),
    ("write `PILImage.create(x)`", "to_image"),
    ("`bb_pad` leaves out the boxes that augmentation has pushed out of the image", "clip_remove_empty"),
    ("write `resize_image(name, dest, src=folder, max_size=...)` for a file, or `im.resize(size)` of an image", "resize_to"),
    ("these services ask for an account and a key: collect the URLs and write `download_images(dest, urls=urls)`",
     "search_images_bing search_images_serpapi"),
    ("write `display(im)`, or `widgets.Image(value=file.read_bytes())`, and for several `HBox([...])` of them", "carousel widget"),
    ("write `ImageClassifierCleaner(learn)`", "ImagesCleaner"),
    ("write `interp.plot_top_losses(k)`, a method of every interpretation", "plot_top_losses"),
    ("read the files with pydicom, and write `PILImage.create(dcmread(file).pixel_array, value_range=(low, high))`",
     MODULES["medical.imaging"]),
    ("adversarial training needs a loop with two optimizers, which minifast does not have: write the loop in PyTorch, over `dls.train`",
     "AdaptiveGANSwitcher AdaptiveLoss AddChannels ConvBlock DenseResBlock FixedGANSwitcher GANDiscriminativeLR GANLearner GANLoss "
     "GANModule GANTrainer InvisibleTensor RandPair SwitchEval accuracy_thresh_expand basic_critic basic_generator gan_critic "
     "gan_loss_from_func generate_noise set_freeze_model"),
    # several devices
    ("loaders give each of several processes its part of every batch: `learn.fit` with them as they are", "DistributedDL"),
    ("a process trains on one device: start one for each GPU, with the script as it is, `minifast launch train.py`", "ParallelTrainer"),
    ("predictions and targets of several processes are put together before a metric sees them: leave it out", "maybe_gather"),
    # tensors and small functions
    ("arrays are numpy's own: leave it out", "ArrayBase ArrayImage ArrayImageBW ArrayImageBase ArrayMask"),
    ("write a subclass of `TensorBase`, or use `TensorImage`, `TensorMask`, `TensorPoint` and `TensorBBox`",
     "TensorFlowField TensorImageBase TensorTypes"),
    ("write `np.concatenate(chunks)`", "Chunks"),
    ("write `map_nested(f, x)` of `minifast.core.nested`", "apply"),
    ("write `model.apply(f)`", "apply_leaf"),
    ("write `init_default(m, func)`", "cond_init"),
    ("write `help(f)`, or `f?` in a notebook", "base_doc"),
    ("write `display(df)`, which IPython has", "display_df"),
    ("write `pd.DataFrame(index=range(n))`", "get_empty_df"),
    ("write an `nn.Module` whose `forward` calls `Function.apply`", "grad_module"),
    ("write `lambda inp, targ: torch.as_tensor(f(to_np(inp), to_np(targ)))`", "np_func"),
    ("write `leaves(x)[0]`, with `leaves` of `minifast.core.nested`, for the first tensor of a nested batch", "item_find"),
    ("write `x[0]`, or `df.iloc[0]` of a table", "get_first"),
    ("write `list(zip(*batch))`, or `dl.decode_batch(batch)` for decoded samples", "batch_to_samples"),
    ("write `x[indices]`; of a nested batch `map_nested(lambda t: t[indices], batch)` with `map_nested` of `minifast.core.nested`",
     "nested_reorder"),
    ("torch no longer needs scripts: leave the decorator out; in a `torch.autograd.Function` write `ctx.save_for_backward(x)` in `forward` "
     "and read `ctx.saved_tensors` in `backward`", "script_bwd script_fwd script_save_ctx script_use_ctx"),
    ("write `torch.backends.cudnn.benchmark = True`", "setup_cuda"),
    ("write `model.module` of a wrapped model", "get_model"),
    ("draw it with `torch.zeros(5, 5)` and assignments", "make_cross_image"),
    ("write `with no_random():`, which puts the random streams back", "get_random_states set_random_states"),
    ("write `torch.__version__ >= '2.6'`, which compares versions", "ismin_torch notmax_torch"),
    ("write `torch.logit(x, eps=1e-7)`", "logit"),
    ("write `x[..., None]`, or `x.unsqueeze_(dim)` in place", "unsqueeze unsqueeze_"),
    ("write `x.half()` or `x.float()`; of a nested batch `map_nested(lambda t: t.half() if t.is_floating_point() else t, batch)` with "
     "`map_nested` of `minifast.core.nested`", "to_half to_float"),
    ("write `progress_bar(items)` around a loop, or install fastprogress and write `from fastprogress import master_bar`", "master_bar"),
    ("write `a == b`; of arrays and tensors `np.array_equal(a, b)` and `torch.equal(a, b)`", "all_equal equals"),
    ("write `isinstance(o, collections.abc.Sized)`", "is_coll"),
    ("write `isinstance(o, collections.abc.Iterable)`", "is_iter"),
    ("write `isinstance(o, (str, bytes))`", "string_classes"),
    ("write `any(isinstance(o, cls) for o in (a, b))`", "one_is_instance"),
    ("write `if verbose: print(text)`", "pv"),
    ("write `lambda self, x=None, *args, **kwargs: x`", "noops"),
    # text
    ("the counts and lengths of `tokenize_folder` are in its `TokenStore`: `TokenStore.open(folder/'tokens')`, `.counter()`, `.lengths`",
     "fn_counter_pkl fn_lengths_pkl"),
    ("write the languages themselves, `WordTokenizer('de')`", "eu_langs"),
    ("write `learn.load_pretrained(weights, vocab)`, which reads files of every version of fastai and compares all names",
     "clean_raw_keys load_ignore_keys load_model_text"),
)
#: name -> what to write instead of it
ABSENT: dict[str, str] = {name: sentence for sentence, names in _ABSENT for name in names.split()}
#: Names and methods that work differently here: name -> how.
DIFFERENT: dict[str, str] = {
    "RandomSplitter": "without `seed` it is drawn with seed 42, so that loaders that are made again keep their split",
    "EarlyStoppingCallback": "beside a schedule that raises the learning rate it warns if `patience` is shorter than the rate is high",
    "ReduceLROnPlateau": "beside a schedule, which would set the learning rate back, it warns and does nothing; use it with `learn.fit`",
    "Normalize": "without statistics it measures ten training batches without augmentation",
    "learn.save": "`learn.save('name')` writes `models/name.safetensors`, not `models/name.pth` for `torch.load`; read it with "
                  "`learn.load('name')`, or with `safetensors.torch.load_file`, where the names of the model's weights begin with "
                  "`root.model.`",
    "learn.export": "a name is a file in `learn.path`, the current folder by default (in fastai the folder of the data): write "
                    "`load_learner(learn.path/'export.pkl')`, or `path=dls.path` where the learner is made",
    "learn.load": "of a `.pth` file of fastai's it takes the weights, not the state of the optimizer",
    "learn.to_fp16": "without an accelerator it warns once, and training is in full precision; `learn.to_bf16()` also works on a CPU",
    "learn.get_preds": "with a loss of torch, such as `nn.CrossEntropyLoss()`, predictions are probabilities, in fastai logits: for logits "
                       "write `act=noop`",
    "learn.model": "called by hand it needs normalised batches, and those of the `dls` given to `vision_learner` are not: take them from "
                   "the learner's own loaders, `learn.dls.test_dl(items)`, `learn.dls.one_batch()`",
    "learn.predict": "of a table: the first element is the row as a dict of its values, `row['age']` where fastai has a table; "
                     "`row.show()` is a DataFrame",
    "dls.train": "the incomplete last batch is kept (a single item is left out), which fastai drops: write `drop_last=True` for its number "
                 "of batches",
    "to.classes": "levels of a pandas categorical that no training row has are left out and treated as `'#na#'`; in fastai they have "
                  "embeddings that are never trained",
    "to.items": "it has the processed columns alone: for others of the frame write `df.loc[to.items.index, 'column']`",
    "to.iloc": "write `to.items.iloc[...]`, or `to.at(positions)` for a table of these rows",
    "to.decode": "it returns a new DataFrame, and leaves the table as it is: write `to.decode()` where fastai has `to.decode().items`",
    "t.pca": "only a `TensorBase` has it, torch stays as it is: write `TensorBase(t).pca(3)`",
    "Callback": "a method named after an event of fastai v1, Lightning or Keras (`on_epoch_end`) is refused when the class is made",
    "AccumMetric": "`dim_argmax=0`, a threshold on the most probable class, and a softmax of maps without `dim_argmax` are refused",
    "load_learner": "it reads what minifast's `learn.export` wrote and runs no code of it; your own classes are passed as `objects=`",
    "Inf": "it is the number `float('inf')`; for `Inf.count` write `itertools.count()`",
    "Path": "a subclass of `pathlib.Path` with `ls`, `read_json` and the like; `pathlib` itself stays as it is",
    "Image": "images that it opens have `to_thumb`, `shape` and the like; those of `from PIL import Image` do not, Pillow stays as it is",
    "PILImage": "its images are always RGB (`PILImageBW`: grey, `PILMask`: class numbers), whatever they are made of",
    "TensorImage": "slices and results of arithmetic are plain tensors: `TensorImage(x[0]).show()` or `show_image(x[0])`",
    "TensorBase": "attributes given to it stay with that tensor: the results of computations do not have them",
    "uniqueify": "elements of `start` are not repeated",
    "HookCallback": "without a method `hook` it is refused when training begins",
    "TrainEvalCallback": "it does nothing: the loop itself switches between training and evaluation, and counts",
    "WandbCallback": "it takes `project=`, `name=`, `config=`, `log_every=`, `n_preds=`, `log_preds=`, and opens a run if there is none",
    "TensorBoardCallback": "it takes `log_dir=`, `log_every=`, `n_preds=`, `log_preds=`, `trace_model=`; embeddings are not projected",
    "load_pickle": "it warns that a pickle runs code when it is loaded",
    "patch": "calling it raises: write a subclass, a `Callback`, or `Learner.name = function`",
    "typedispatch": "calling it raises: give the class a method `show`, or write one `encodes` for each type in a `Transform`",
    "SaveModelCallback": "it writes safetensors; read them with `learn.load(fname)`",
    "Tokenizer": "called for a single text it applies the rules of tokens too, such as `replace_space`, which fastai leaves to whole "
                 "tables and folders. A folder is tokenised when the loaders are made, into memory, or into the file that `cache=` names",
    "SubwordTokenizer": "the library tokenizers learns the pieces, and `save` writes its JSON; a `.model` file of SentencePiece cannot be "
                        "read. `char_coverage=` and `cache_dir=` are refused",
    "SentencePieceTokenizer": "it is `SubwordTokenizer`",
    "WordTokenizer": "it splits by rules of its own, as spaCy's blank English does; `SpacyTokenizer` uses spaCy where it is installed",
    "tokenize_files": "`skip_if_exists=` is refused: what is there is used again where texts, rules and tokenizer are the same",
    "tokenize_folder": "`skip_if_exists=` is refused: what is there is used again where texts, rules and tokenizer are the same",
    "tokenize_texts": "it returns a `TokenStore`, a sequence of an `L` of tokens for each text",
    "TextBlock": "without `vocab` the vocabulary is that of the training texts; in fastai texts of the validation set and the rest of a "
                 "folder count too",
    "vision_learner": "the normalisation of its weights goes into the learner's own loaders, `learn.dls`; those passed to it stay as they "
                      "are. Networks for which fastai makes two layer groups have three; `splitter=default_split` makes two",
}
_FASTCORE = ("minifast does not import fastcore, because that adds methods to `pathlib.Path`: write "
             "`from fastcore.all import {name}`")


def instead_of(name: str) -> str | None:
    "What to write where fastai's `name` is missing here; None: fastai has no such name, or nothing is known."
    of_fastcore = name in FASTCORE.split() or re.fullmatch(r"HTTP\d\w+Error", name)
    return ABSENT.get(name) or (_FASTCORE.format(name=name) if of_fastcore else None)
