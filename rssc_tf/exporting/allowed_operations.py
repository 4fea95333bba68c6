"""TensorFlow's operations that compute: what a graph may do that is loaded from elsewhere.

They touch no file, no network, no Python, no variable but to read it. In groups: mathematics,
networks, shapes, linear algebra, random numbers of a seed, images, strings, control flow and lists,
variables, datasets in memory.
"""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


COMPUTING = _names(
    """
    Abs Acos Acosh Add AddN AddV2 All Angle Any ApproximateEqual ArgMax ArgMin Asin Asinh Atan
    Atan2 Atanh BatchMatMul BatchMatMulV2 BatchMatMulV3 BiasAdd BiasAddGrad BitwiseAnd BitwiseOr
    BitwiseXor Bincount Bucketize Cast Ceil ClipByValue Cos Cosh Cross Cumprod Cumsum
    CumulativeLogsumexp DenseBincount Digamma Div DivNoNan Einsum Equal Erf Erfc Erfinv Exp
    Expm1 Floor FloorDiv FloorMod Greater GreaterEqual Igamma Igammac Inv Invert IsFinite IsInf
    IsNan LeftShift Less LessEqual Lgamma LinSpace Log Log1p LogicalAnd LogicalNot LogicalOr
    MatMul Max Maximum Mean Min Minimum Mod Mul MulNoNan Ndtri Neg NextAfter NotEqual Polygamma
    Pow Prod Range RealDiv Reciprocal ReciprocalGrad RightShift Rint Round Rsqrt RsqrtGrad
    SegmentMaxV2 SegmentMean SegmentMinV2 SegmentSumV2 Select SelectV2 Sigmoid SigmoidGrad Sign
    Sin Sinh Sqrt SqrtGrad Square SquaredDifference Sub Sum Tan Tanh TanhGrad TruncateDiv
    TruncateMod UnsortedSegmentMax UnsortedSegmentMin UnsortedSegmentProd UnsortedSegmentSum
    Xdivy Xlog1py Xlogy Zeta

    AvgPool AvgPool3D AvgPoolGrad BatchToSpaceND Conv Conv2D Conv2DBackpropInput Conv3D
    Conv3DBackpropInputV2 DepthToSpace DepthwiseConv2dNative DepthwiseConv2dNativeBackpropInput
    Dilation2D Elu EluGrad FFT2D FusedBatchNorm FusedBatchNormV2 FusedBatchNormV3 IFFT2D IRFFT2D
    InTopKV2 L2Loss LRN LeakyRelu LeakyReluGrad LogSoftmax MaxPool MaxPool3D MaxPoolGrad
    MaxPoolV2 RFFT2D Relu Relu6 Relu6Grad ReluGrad Selu SeluGrad Softmax Softplus SoftplusGrad
    Softsign SoftsignGrad SpaceToBatchND SpaceToDepth TopKV2

    Bitcast BroadcastArgs BroadcastGradientArgs BroadcastTo CheckNumerics Complex Concat
    ConcatV2 Const Diag DiagPart DynamicPartition DynamicStitch EnsureShape ExpandDims
    ExtractImagePatches Fill Gather GatherNd GatherV2 Identity IdentityN Imag InvertPermutation
    LowerBound MatrixBandPart MatrixDiag MatrixDiagPart MatrixDiagPartV3 MatrixDiagV3
    MatrixSetDiagV3 MirrorPad NoOp OneHot OnesLike Pack Pad PadV2 ParallelConcat
    ParallelDynamicStitch Placeholder PlaceholderWithDefault PreventGradient Rank Real Reshape
    ResourceGather ReverseSequence ReverseV2 Roll ScatterNd  Shape ShapeN Size Slice
    Snapshot SplitV Split Squeeze StopGradient StridedSlice StridedSliceGrad
    TensorScatterAdd TensorScatterUpdate Tile Transpose Unique UniqueV2 Unpack UpperBound Where
    ZerosLike

    Cholesky MatrixDeterminant MatrixInverse MatrixSolve MatrixTriangularSolve Qr
    SelfAdjointEigV2 Svd

    StatelessMultinomial StatelessRandomGetAlg StatelessRandomGetKeyCounter
    StatelessRandomNormalV2 StatelessRandomUniformIntV2 StatelessRandomUniformV2
    StatelessTruncatedNormalV2

    AdjustContrastv2 AdjustHue AdjustSaturation CropAndResize DecodeAndCropJpeg DecodeBmp
    DecodeGif DecodeImage DecodeJpeg DecodePng DecodeRaw EncodeJpeg EncodePng ExtractJpegShape
    HSVToRGB ImageProjectiveTransformV3 RGBToHSV ResizeArea ResizeBicubic ResizeBilinear
    ResizeBilinearGrad ResizeNearestNeighbor ScaleAndTranslate

    AsString DecodeBase64 EncodeBase64 ReduceJoin RegexFullMatch RegexReplace
    StaticRegexFullMatch StaticRegexReplace StringJoin StringLength StringLower StringStrip
    StringToNumber StringUpper Substr UnsortedSegmentJoin

    Assert Case If PartitionedCall StatefulPartitionedCall StatelessCase StatelessIf
    StatelessWhile While EmptyTensorList TensorListConcatV2 TensorListElementShape
    TensorListFromTensor TensorListGather TensorListGetItem TensorListLength TensorListPushBack
    TensorListReserve TensorListSetItem TensorListStack

    DisableCopyOnRead ReadVariableOp VarHandleOp VarIsInitializedOp VariableShape

    BatchDatasetV2 ConcatenateDataset DatasetToSingleElement IgnoreErrorsDataset
    InterleaveDataset MapDataset ParallelInterleaveDatasetV4 ParallelMapDatasetV2 RangeDataset
    TakeDataset TensorDataset TensorSliceDataset
    """
)

# In the two functions of a SavedModel that save and restore its variables.
SAVING = _names("AssignVariableOp MergeV2Checkpoints RestoreV2 SaveV2 ShardedFilename")
