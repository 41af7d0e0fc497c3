/* See vbs-enclave-report.h. Everything is little endian; sources: ntenclv.h and ncrypt.h as Microsoft documents them.
 *
 *     package    u32 PackageSize, Version = 1, SignatureScheme, SignedStatementSize, SignatureSize, Reserved | statement | signature
 *                PackageSize = 24 + SignedStatementSize + SignatureSize
 *     statement  u32 ReportSize = SignedStatementSize, ReportVersion = 1 | EnclaveData 64 | OwnerId 32 | UniqueId 32 | AuthorId 32
 *                | FamilyId 16 | ImageId 16 | u32 EnclaveSvn, SecureKernelSvn, PlatformSvn, Flags, SigningLevel, EnclaveType | blocks
 *     block      u32 DataType, Size (with these 8 bytes) | data
 *       module   UniqueId 32 | AuthorId 32 | FamilyId 16 | ImageId 16 | u32 Svn | ModuleName, UTF-16 with a NUL
 *     key claim  "VKAS" | u32 Version (1, 2), ClaimType = 5
 *                | "VRCH" | u32 Version = 0, cbAttributes, cbNonce, cbReport, cbSignature | attributes | nonce | report | signature */
#include "tcg/vbs-enclave-report.h"

#include "base/reader.h"
#include "tcg/hash.h"

#define PACKAGE_HEADER_SIZE 24
#define BLOCK_HEADER_SIZE 8
#define LONG_ID_SIZE 32
#define SHORT_ID_SIZE 16
#define MAGIC_SIZE 4
#define CLAIM_TYPE_VBS_ROOT 5
#define WHAT "VBS enclave report"

bool vbs_enclave_report_detect(Span input) {
        Reader reader = reader_make(input);
        uint32_t size = reader_u32le(&reader, "PackageSize");
        uint32_t version = reader_u32le(&reader, "Version");
        reader_span(&reader, 12, "scheme and sizes");
        uint32_t reserved = reader_u32le(&reader, "Reserved");
        return !reader_failed(&reader) && size >= PACKAGE_HEADER_SIZE && size <= VBS_REPORT_SIZE_MAX && version == 1 && reserved == 0;
}

static Err *parse_statement(Span statement, VbsEnclaveReport *report) {
        Reader reader = reader_make(statement);
        if (reader_u32le(&reader, "ReportSize") != statement.size)
                reader_fail(&reader, "ReportSize beside SignedStatementSize");
        if (reader_u32le(&reader, "ReportVersion") != 1)
                reader_fail(&reader, "ReportVersion");
        report->enclave_data = reader_span(&reader, VBS_ENCLAVE_DATA_SIZE, "EnclaveData");
        report->owner_id = reader_span(&reader, LONG_ID_SIZE, "OwnerId");
        report->unique_id = reader_span(&reader, LONG_ID_SIZE, "UniqueId");
        report->author_id = reader_span(&reader, LONG_ID_SIZE, "AuthorId");
        report->family_id = reader_span(&reader, SHORT_ID_SIZE, "FamilyId");
        report->image_id = reader_span(&reader, SHORT_ID_SIZE, "ImageId");
        report->enclave_svn = reader_u32le(&reader, "EnclaveSvn");
        report->secure_kernel_svn = reader_u32le(&reader, "SecureKernelSvn");
        report->platform_svn = reader_u32le(&reader, "PlatformSvn");
        report->flags = reader_u32le(&reader, "Flags");
        report->signing_level = reader_u32le(&reader, "SigningLevel");
        report->enclave_type = reader_u32le(&reader, "EnclaveType");
        report->blocks = reader_rest(&reader);
        return reader_finish(&reader, ERR_VBS_REPORT_MALFORMED, WHAT ": signed statement");
}

static Err *check_blocks(Span blocks) {
        VbsEnclaveBlock block;
        for (bool more = true; more;)
                TRY(vbs_enclave_report_next(&blocks, &block, &more));
        return NULL;
}

Err *vbs_enclave_report_parse(Span input, VbsEnclaveReport *ret) {
        Reader reader = reader_make(input);
        VbsEnclaveReport report = {};
        uint32_t package_size = reader_u32le(&reader, "PackageSize");
        if (package_size != input.size || input.size > VBS_REPORT_SIZE_MAX)
                reader_fail(&reader, "PackageSize beside the number of bytes");
        if (reader_u32le(&reader, "Version") != 1)
                reader_fail(&reader, "Version");
        report.signature_scheme = reader_u32le(&reader, "SignatureScheme");
        uint32_t statement_size = reader_u32le(&reader, "SignedStatementSize");
        uint32_t signature_size = reader_u32le(&reader, "SignatureSize");
        reader_u32le(&reader, "Reserved");
        report.signed_statement = reader_span(&reader, statement_size, "the signed statement");
        report.signature = reader_span(&reader, signature_size, "the signature");
        TRY(reader_finish(&reader, ERR_VBS_REPORT_MALFORMED, WHAT));
        TRY(parse_statement(report.signed_statement, &report));
        TRY(check_blocks(report.blocks));
        *ret = report;
        return NULL;
}

static bool is_utf16_nul(Span text, size_t at) {
        return text.data[at] == 0 && text.data[at + 1] == 0;
}

/* Up to the first NUL, which must be there; what follows fills the block up. */
static void read_module_name(Reader *reader, VbsEnclaveBlock *block) {
        Span text = reader_rest(reader);
        size_t size = 0;
        while (text.size - size >= 2 && !is_utf16_nul(text, size))
                size += 2;
        if (text.size - size < 2)
                reader_fail(reader, "ModuleName without its NUL");
        block->name = span_make(text.data, size);
}

static Err *parse_module(VbsEnclaveBlock *block) {
        Reader reader = reader_make(block->data);
        block->unique_id = reader_span(&reader, LONG_ID_SIZE, "UniqueId");
        block->author_id = reader_span(&reader, LONG_ID_SIZE, "AuthorId");
        block->family_id = reader_span(&reader, SHORT_ID_SIZE, "FamilyId");
        block->image_id = reader_span(&reader, SHORT_ID_SIZE, "ImageId");
        block->svn = reader_u32le(&reader, "Svn");
        read_module_name(&reader, block);
        return reader_finish(&reader, ERR_VBS_REPORT_MALFORMED, WHAT ": module");
}

Err *vbs_enclave_report_next(Span *blocks, VbsEnclaveBlock *ret, bool *ret_more) {
        if (blocks->size == 0) {
                *ret_more = false;
                return NULL;
        }
        Reader reader = reader_make(*blocks);
        VbsEnclaveBlock block = { .type = reader_u32le(&reader, "DataType") };
        uint32_t size = reader_u32le(&reader, "Size");
        if (size < BLOCK_HEADER_SIZE)
                reader_fail(&reader, "Size");
        block.data = reader_span(&reader, reader_failed(&reader) ? 0 : size - BLOCK_HEADER_SIZE, "the data of a variable block");
        TRY(reader_check(&reader, ERR_VBS_REPORT_MALFORMED, WHAT ": variable block"));
        if (block.type == VBS_BLOCK_MODULE)
                TRY(parse_module(&block));
        *blocks = reader_rest(&reader);
        *ret = block;
        *ret_more = true;
        return NULL;
}

Err *vbs_enclave_report_binds_text(const VbsEnclaveReport *report, Span text) {
        Digest digest;
        TRY(hash_digest(HASH_SHA512, text, &digest));
        if (!span_equal(report->enclave_data, digest_span(&digest)))
                return err_new(ERR_VBS_REPORT_MISMATCH, "EnclaveData of the VBS enclave report is not the SHA-512 of the signed text");
        return NULL;
}

bool vbs_key_claim_detect(Span input) {
        return input.size >= MAGIC_SIZE && span_equal_string(span_make(input.data, MAGIC_SIZE), "VKAS");
}

static void read_magic(Reader *reader, const char *magic) {
        if (!span_equal_string(reader_span(reader, MAGIC_SIZE, magic), magic))
                reader_fail(reader, magic);
}

Err *vbs_key_claim_parse(Span input, VbsKeyClaim *ret) {
        Reader reader = reader_make(input);
        VbsKeyClaim claim = {};
        read_magic(&reader, "VKAS");
        claim.version = reader_u32le(&reader, "Version of VKAS");
        if (claim.version != 1 && claim.version != 2)
                reader_fail(&reader, "Version of VKAS");
        claim.claim_type = reader_u32le(&reader, "ClaimType");
        if (claim.claim_type != CLAIM_TYPE_VBS_ROOT)
                reader_fail(&reader, "ClaimType");
        read_magic(&reader, "VRCH");
        if (reader_u32le(&reader, "Version of VRCH") != 0)
                reader_fail(&reader, "Version of VRCH");
        uint32_t attributes_size = reader_u32le(&reader, "cbAttributes");
        uint32_t nonce_size = reader_u32le(&reader, "cbNonce");
        uint32_t report_size = reader_u32le(&reader, "cbReport");
        uint32_t signature_size = reader_u32le(&reader, "cbSignature");
        claim.attributes = reader_span(&reader, attributes_size, "Attributes");
        claim.nonce = reader_span(&reader, nonce_size, "Nonce");
        claim.report = reader_span(&reader, report_size, "Report");
        claim.signature = reader_span(&reader, signature_size, "Signature");
        TRY(reader_finish(&reader, ERR_VBS_REPORT_MALFORMED, "VBS key claim"));
        *ret = claim;
        return NULL;
}
