_base_ = 'videomae-tiny-lora_mma82_indomain.py'
protocol = dict(_delete_=True, name='fewshot')
